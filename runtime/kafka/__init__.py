"""Kafka as every part of Ratestream uses it: clients, transactions and topic administration."""

-- The guard obeys budgets and never makes them: a version is an operator's.
revoke insert on guard.budget_versions from ratestream_guard;

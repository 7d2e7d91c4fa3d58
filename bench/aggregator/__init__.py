"""The aggregator's figures: beside a stock Faust agent on the same events, its memory, its recovery."""

"""The `ratestream` command: calls each part's own entry and holds no business."""

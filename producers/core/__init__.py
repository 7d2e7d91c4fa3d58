"""Pure: a trace's rows, and the usage events that they become."""

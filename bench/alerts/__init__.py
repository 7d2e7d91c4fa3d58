"""From a producer's acknowledgement to an alert at a webhook, with everything running."""

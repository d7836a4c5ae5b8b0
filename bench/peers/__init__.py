"""What the service is measured against: other servers for the same calls, each as small as an honest one can be."""

"""What others test their own work with, put through the doors here: counts and reasons."""

"""`layout: modules`: a graph as the classes of a person. `planning.plan_classes` is the door."""

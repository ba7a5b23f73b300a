"""What `irpytorch init` adds to an existing project, as texts."""

"""What people look at, as plain values, with the judgement on it: shared by the dashboards and the command line."""

"""What is measured of a policy and its judge after every round."""

"""The paper's equations, one pure function each; every one computes in float32 or better."""

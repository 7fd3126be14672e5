"""The arm: limits, model, kinematics, inverse kinematics and rate limits."""

"""A user's own sequences: from a file to a compared, tuned, saved model, and from a model to
predictions.
"""

"""Estimators in scikit-learn's manner: its parameters, pipelines, searches, and cross-validation,
around `capax.fit`. They need the package scikit-learn.
"""

from capax.errors import CapaxError

try:
    import sklearn as sklearn
except ImportError:
    raise CapaxError("capax's estimators need the package scikit-learn: pip install 'capax[sklearn]'.") from None

from capax.estimators.forecaster import Forecaster as Forecaster
from capax.estimators.labeller import Labeller as Labeller
from capax.estimators.language_model import LanguageModel as LanguageModel
from capax.estimators.seq2seq import Seq2Seq as Seq2Seq
from capax.estimators.sequence_classifier import SequenceClassifier as SequenceClassifier

"""The functions of Machine Learning Server's own libraries, over scikit-learn and statsmodels.

`from jupyter_mlops.compat.revoscalepy import rx_lin_mod` is the one changed import of an old notebook.
"""

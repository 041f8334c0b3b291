# A shim for these tests: it lets the old SDK, unmodified, run on Pythons that are newer than it.
"""
azsdk_shim -- run the unmodified ``azureml-model-management-sdk==1.0.1b6.post1``
on current Python (3.8 ... 3.13).

Import this module BEFORE (or after) ``azureml.deploy``; it patches on import::

    import azsdk_shim                      # noqa: F401
    from azureml.deploy import DeployClient
    from azureml.deploy.server import MLServer

Only ONE patch is needed on Python 3.8 - 3.11:

  P1  azureml.common.utils.function_beget   (and the name re-imported by
      azureml.deploy.server.service).  The SDK calls ``types.CodeType(...)``
      positionally with the <= 3.7 argument list (13 arguments); 3.8 added
      ``posonlyargcount`` and 3.11 needs 16 arguments, so every
      ``Service(...)`` construction dies with
      ``TypeError: code expected at least 16 arguments, got 13``.

On Python >= 3.12 one more is needed:

  P2  a stand-in for the removed stdlib module ``imp`` (find_module,
      load_module, load_source), because azureml/deploy/deploy_client.py does
      ``import imp`` at module top.

Everything in ``install_extras()`` is NOT needed to run; it repairs SDK bugs
and adds the three 9.3/9.4 pool methods that exist only in 1.0.1b7 (never on
PyPI).  Call it explicitly if wanted (or set AZSDK_SHIM_EXTRAS=1).
"""
from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import keyword
import os
import sys
import types

__all__ = ["install", "install_extras"]


# --------------------------------------------------------------------------- #
# P2: stand-in for `imp` (Python >= 3.12 only)
# --------------------------------------------------------------------------- #
def _install_imp():
    if sys.version_info < (3, 12) or "imp" in sys.modules:
        return False
    imp = types.ModuleType("imp")

    def find_module(name, path=None):
        for entry in (path or sys.path):
            filename = os.path.join(entry, name + ".py")
            if os.path.isfile(filename):
                return None, filename, (".py", "r", 1)
        raise ImportError("No module named {0!r}".format(name))

    def _load(name, filename):
        spec = importlib.util.spec_from_file_location(name, filename)
        if spec is None or not os.path.isfile(filename):
            raise ImportError("No module named {0!r}".format(name))
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)
            raise
        return module

    imp.find_module = find_module
    imp.load_module = lambda name, file, filename, desc: _load(name, filename)
    imp.load_source = lambda name, pathname, file=None: _load(name, pathname)
    sys.modules["imp"] = imp
    return True


# --------------------------------------------------------------------------- #
# P1: function_beget
# --------------------------------------------------------------------------- #
def function_beget(fn, fn_name, fn_args, doc=""):
    """
    Drop-in for ``azureml.common.utils.function_beget``.

    Same contract: returns a function called `fn_name`, taking exactly
    `fn_args` (first one is ``self``), whose body does what
    ``Service.__new__.<locals>.fn`` does, i.e. ``self._consume({name: value})``
    for the declared inputs.  Unlike the original it is not limited to three
    inputs (documented known issue #5 of ML Server 9.3/9.4) and it accepts
    input names that are not Python identifiers (R allows ``petal.length``):
    those can be passed by position or as ``**{'petal.length': 1}``.
    """
    names = [str(a) for a in fn_args]
    params = names[1:]

    def begotten(self, *args, **kwargs):
        if len(args) > len(params):
            raise TypeError("{0}() takes {1} positional arguments but {2} were given"
                            .format(fn_name, len(names), len(args) + 1))
        body = dict(zip(params, args))
        for key, value in kwargs.items():
            if key not in params:
                raise TypeError("{0}() got an unexpected keyword argument {1!r}"
                                .format(fn_name, key))
            if key in body:
                raise TypeError("{0}() got multiple values for argument {1!r}"
                                .format(fn_name, key))
            body[key] = value
        missing = [p for p in params if p not in body]
        if missing:
            raise TypeError("{0}() missing {1} required positional argument{2}: {3}"
                            .format(fn_name, len(missing),
                                    "" if len(missing) == 1 else "s",
                                    ", ".join(repr(m) for m in missing)))
        return self._consume({p: body[p] for p in params})

    begotten.__name__ = str(fn_name)
    begotten.__qualname__ = str(fn_name)
    begotten.__doc__ = doc
    if all(n.isidentifier() and not keyword.iskeyword(n) for n in names):
        begotten.__signature__ = inspect.Signature([
            inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD)
            for n in names])
    return begotten


def install():
    """Apply the minimal patches. Returns the list of what was patched."""
    done = []
    if _install_imp():
        done.append("sys.modules['imp']")
    if sys.version_info >= (3, 8):
        utils = importlib.import_module("azureml.common.utils")
        utils.function_beget = function_beget
        done.append("azureml.common.utils.function_beget")
        # `service.py` does `from azureml.common.utils import function_beget`
        service = importlib.import_module("azureml.deploy.server.service")
        service.function_beget = function_beget
        done.append("azureml.deploy.server.service.function_beget")
    return done


# --------------------------------------------------------------------------- #
# Extras (optional): SDK bugs + the three pool calls of 1.0.1b7
# --------------------------------------------------------------------------- #
def install_extras():
    done = []
    from azureml.deploy import deploy_client as dc, operationalization
    from azureml.deploy.server import mlserver, service, services
    from azureml.authentication import aad_authentication as aad

    # X1  `@execution` drops keyword arguments: batch.download(1, file_name='x')
    #     silently downloads ALL files; batch.list_artifacts(index=1) raises.
    def keep_kwargs(method):
        @functools.wraps(method)
        def wrapper(self, *args, **kwargs):
            if self._execution_id is None:
                raise ValueError("Batch not started, `execution_id` is None.")
            return method(self, *args, **kwargs)
        return wrapper

    for name in ("cancel", "artifact", "list_artifacts", "download"):
        wrapped = service.Batch.__dict__[name]
        inner = inspect.getclosurevars(wrapped).nonlocals.get("func")
        if inner is not None:
            setattr(service.Batch, name, keep_kwargs(inner))
    done.append("Batch.cancel/artifact/list_artifacts/download keep kwargs")

    # X2  download(index) without file_name asks for files of execution 0, 1, 2..
    #     (it passes the loop counter instead of `index`).
    #     destination=os.getcwd() is evaluated at import time.
    def download(self, index, file_name=None, destination=None):
        if self._execution_id is None:
            raise ValueError("Batch not started, `execution_id` is None.")
        destination = os.getcwd() if destination is None else destination
        if not os.path.exists(destination):
            raise ValueError('No such file or directory "{0}".'.format(destination))
        names = self.list_artifacts(index) if file_name is None else [file_name]
        paths = []
        for name in names:
            path = os.path.join(destination, os.path.basename(name))
            with open(path, "wb") as out:
                out.write(self.artifact(index, name))
            paths.append(path)
        return paths
    service.Batch.download = download
    done.append("Batch.download")

    # X3  redeploy without a version always fails: the SDK reads `.version`
    #     of a dict.
    def get_latest_service(self, name):
        found = self._api.get_all_web_service_versions_by_name(name)
        if not found:
            return []
        class _Meta(dict):
            version = property(lambda s: s.get("version"))
        return _Meta(found[-1])
    services.WebServiceService.get_latest_service = get_latest_service
    done.append("WebServiceService.get_latest_service -> .version")

    # X4  'A valid `{0}` is required.'.formate(key)  (typo -> AttributeError)
    def _raise_errors(self, required=()):
        missing = ["A valid `{0}` is required.".format(k)
                   for k in required if k not in self.options]
        if missing:
            raise ValueError("\n".join(missing))
    aad.AADAuthentication._raise_errors = _raise_errors
    done.append("AADAuthentication._raise_errors")

    # X5  DeployClient(host, use='MLServer') looks for the relative directory
    #     azureml/deploy/server under the *current working directory*.
    real_imp = dc.imp
    shim_imp = types.SimpleNamespace(load_source=real_imp.load_source,
                                     load_module=real_imp.load_module)

    def find_module(name, path=None):
        roots = list(path or [])
        for p in list(roots):
            if not os.path.isabs(p):
                for base in list(sys.path):
                    roots.append(os.path.join(base or ".", p))
        return real_imp.find_module(name, roots)
    shim_imp.find_module = find_module
    dc.imp = shim_imp
    done.append("DeployClient(use='MLServer') from any directory")

    # X6  the three dedicated-pool methods of ML Server 9.3 / SDK 1.0.1b7
    def create_or_update_service_pool(self, name, version, initial_pool_size=0,
                                      max_pool_size=0, **opts):
        if "maximum_pool_size" in opts:      # spelling used in the MS examples
            max_pool_size = opts.pop("maximum_pool_size")
        return self._http_client.post(
            "/services/{0}/{1}/pool".format(name, version),
            json={"InitialPoolSize": initial_pool_size,
                  "MaxPoolSize": max_pool_size})

    def get_service_pool_status(self, name, version, **opts):
        return self._http_client.get(
            "/services/{0}/{1}/pool".format(name, version)).json()

    def delete_service_pool(self, name, version, **opts):
        return self._http_client.delete(
            "/services/{0}/{1}/pool".format(name, version))

    # Put on the base class: `use='MLServer'` (string form) re-executes
    # mlserver.py and so yields a *different* MLServer class object.
    for fn in (create_or_update_service_pool, get_service_pool_status,
               delete_service_pool):
        if not hasattr(mlserver.MLServer, fn.__name__):
            setattr(operationalization.Operationalization, fn.__name__, fn)
    done.append("Operationalization.create_or_update_service_pool/"
                "get_service_pool_status/delete_service_pool")
    return done


PATCHED = install()
if os.environ.get("AZSDK_SHIM_EXTRAS") == "1":
    PATCHED += install_extras()

"""Which part of an address crosses to the server."""

from __future__ import annotations

import pytest

from jupyter_mlops.extension.crossing import target


@pytest.mark.parametrize(
    ("uri", "prefix", "expected"),
    [
        ("/mlops/services", "/mlops", "/services"),
        ("/mlops/", "/mlops", "/"),
        ("/user/ann@x/mlops/api/a%2Fb/1", "/user/ann%40x/mlops", "/api/a%2Fb/1"),
        ("/mlops/a?token=1", "/mlops", "/a"),
        ("/mlops/a?b=1&token=1&c", "/mlops", "/a?b=1&c"),
        ("/mlops/a?%74oken=1", "/mlops", "/a"),
        ("/mlops/a?refreshToken=1", "/mlops", "/a?refreshToken=1"),
        ("/mlops//evil.example/x", "/mlops", "//evil.example/x"),
        ("/mlops/a?b=?c", "/mlops", "/a?b=?c"),
    ],
)
def test_the_rest_of_the_address_is_kept_as_written(uri, prefix, expected):
    assert target(uri, prefix) == expected

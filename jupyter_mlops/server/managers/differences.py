"""What makes one publish different from another."""

from __future__ import annotations

from jupyter_mlops.schema.services import Definition, Revision
from jupyter_mlops.schema.snapshots import Manifest

_SPOKEN = {"operation_id": "alias", "init_code": "init code"}


def differences(existing: Revision, definition: Definition, manifest: Manifest | None) -> list[str]:
    """Name, for people, everything in which a new publish differs from an existing revision.

    Objects are compared by their fingerprints, which are equal for equal content whichever kernel captured
    them; the bytes of two pickles of one thing are not.

    Parameters
    ----------
    existing:
        The revision in force.
    definition, manifest:
        What would be published.

    Returns
    -------
    list of str
        Such as `["code", "model (data)"]`; empty when nothing differs.
    """
    found = [
        _SPOKEN.get(field, field)
        for field in Definition.__struct_fields__
        if getattr(existing.definition, field) != getattr(definition, field)
    ]
    before, after = _contents(existing.manifest), _contents(manifest)
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            found.append(f"{name} (no longer captured)")
        elif name not in before:
            found.append(f"{name} (newly captured)")
        # A changed function is already named by its changed code.
        elif before[name] != after[name] and not (name == definition.function and "code" in found):
            found.append(name)
    return found


def _contents(manifest: Manifest | None) -> dict[str, str]:
    if manifest is None:
        return {}
    names = {captured.name: captured.fingerprint for captured in manifest.names}
    files = {f"file {file.path}": file.blob.digest for file in manifest.files}
    executable = {"interpreter": manifest.environment.executable} if manifest.environment.executable else {}
    return names | files | executable

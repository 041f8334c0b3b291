"""The table of operations in docs/operations.md: made of their declarations and of the tests named here.

After a change: `make operations`, or `python tests/operations.py`. The suite fails when an operation has no test
here, when a test has gone, and when the table is out of date.
"""

from __future__ import annotations

import re
from pathlib import Path

from jupyter_mlops.schema.access import PERMISSIONS
from jupyter_mlops.schema.operations import TAGS, Operation
from jupyter_mlops.server.handlers.documents import declared

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "operations.md"

PROOFS = {
    "server/test_access.py": {
        "login": "test_a_login_gives_tokens_that_work",
        "renewToken": "test_a_refresh_rotates_and_a_replay_ends_the_login",
        "revokeRefreshToken": "test_revoking_ends_the_access_token_too",
    },
    "server/test_users.py": {
        "listUsers": "test_users_are_added_listed_and_removed",
        "addUser": "test_users_are_added_listed_and_removed",
        "changeUser": "test_a_user_changes_the_own_password_and_nothing_else",
        "removeUser": "test_removing_a_user_ends_the_logins_at_once_and_for_good",
    },
    "server/test_publish.py": {
        "getAllWebServiceVersionsByName": "test_versions_are_listed_oldest_first_and_latest_is_the_last_published",
        "patchWebServiceVersion": "test_patch_changes_what_it_names_and_keeps_the_rest",
        "publishWebService": "test_without_a_version_a_guid_or_the_next_number",
        "publishWebServiceVersion": "test_a_failed_publish_leaves_nothing",
        "uploadBlob": "test_a_blob_that_is_not_what_its_digest_says_is_refused",
        "beginUpload": "test_a_manifest_cannot_choose_paths",
        "forgetUpload": "test_uploads_are_their_owners_only",
    },
    "server/test_uploads.py": {
        "getUpload": "test_a_blob_may_come_in_pieces",
        "uploadPiece": "test_a_blob_may_come_in_pieces",
    },
    "server/test_services.py": {
        "getAllWebServices": "test_an_empty_json_body_with_get_is_taken",
        "getWebServiceVersion": "test_an_unknown_name_has_no_versions_and_an_unknown_version_is_404",
        "deleteWebServiceVersion": "test_an_empty_json_body_with_delete_is_taken",
    },
    "server/test_realtime.py": {
        "publishRealtimeWebServiceByName": "test_a_bare_onnx_file_is_taken_and_its_columns_are_named_like_its_tensors",
        "publishRealtimeWebServiceByNameVersion": "test_a_model_is_published_and_shown_as_machine_learning_server_did",
        "patchRealtimeWebServiceByNameVersion": "test_a_change_makes_a_revision_and_any_can_be_gone_back_to",
    },
    "server/test_inference.py": {
        "serverMetadata": "test_the_server_tells_of_itself_and_its_models",
        "serverLive": "test_the_server_tells_of_itself_and_its_models",
        "serverReady": "test_the_server_tells_of_itself_and_its_models",
        "modelMetadata": "test_the_server_tells_of_itself_and_its_models",
        "latestModelMetadata": "test_the_server_tells_of_itself_and_its_models",
        "modelReady": "test_the_server_tells_of_itself_and_its_models",
        "latestModelReady": "test_the_server_tells_of_itself_and_its_models",
        "modelInfer": "test_tensors_go_in_and_out_in_json_and_as_bytes",
        "latestModelInfer": "test_one_tensor_for_each_column",
    },
    "server/test_nodes.py": {
        "getComputeNodes": "test_only_owners_change_the_list_and_all_see_it",
        "setComputeNodes": "test_post_replaces_put_adds_and_delete_removes",
        "addComputeNode": "test_post_replaces_put_adds_and_delete_removes",
        "removeComputeNode": "test_post_replaces_put_adds_and_delete_removes",
    },
    "server/test_routes.py": {
        "health": "test_public_routes_need_none",
    },
    "server/test_status.py": {
        "status": "test_the_shape_is_machine_learning_servers",
    },
    "server/test_session_api.py": {
        "createSession": "test_every_key_may_be_left_out",
        "listSessions": "test_sessions_are_listed_for_their_own_user_only",
        "closeSession": "test_the_kernel_ends_with_the_session",
        "closeSessionByForce": "test_closing_stops_what_runs",
        "executeCode": "test_inputs_are_variables_and_outputs_are_read_by_name",
        "getSessionConsoleOutput": "test_the_console_can_be_read_while_code_runs_and_cancel_stops_it",
        "cancelSession": "test_the_console_can_be_read_while_code_runs_and_cancel_stops_it",
        "listSessionHistory": "test_the_history_holds_the_code",
        "listSessionFiles": "test_files_go_in_and_out",
        "uploadSessionFile": "test_files_go_in_and_out",
        "getSessionFile": "test_files_go_in_and_out",
        "deleteSessionFile": "test_files_go_in_and_out",
        "listWorkspaceObjects": "test_objects_go_in_and_out_as_dills_bytes",
        "setWorkspaceObject": "test_objects_go_in_and_out_as_dills_bytes",
        "getWorkspaceObject": "test_objects_go_in_and_out_as_dills_bytes",
        "deleteWorkspaceObject": "test_objects_go_in_and_out_as_dills_bytes",
        "CreateSnapshot": "test_a_snapshot_holds_objects_and_files_and_opens_another_session",
        "LoadSnapshot": "test_loading_merges_and_overwrites",
        "ListSnapshots": "test_a_snapshot_is_its_makers_alone",
        "GetSnapshotContent": "test_it_downloads_as_a_zip",
        "getSnapshotManifest": "test_it_tells_what_it_holds",
        "DeleteSnapshot": "test_a_snapshot_is_its_makers_alone",
    },
    "kernels/test_calls.py": {
        "consume": "test_scalars_there_and_back",
    },
    "kernels/test_pools.py": {
        "getServicePoolStatus": "test_pools_in_machine_learning_servers_spelling",
        "createOrUpdateServicePool": "test_pools_in_machine_learning_servers_spelling",
        "deleteServicePool": "test_pools_in_machine_learning_servers_spelling",
        "getServicePoolKernels": "test_the_least_recently_used_idle_kernel_makes_room_and_comes_back",
        "metrics": "test_metrics_count_right",
    },
    "extension/test_events.py": {
        "events": "test_a_picture_then_what_changes",
    },
    "server/test_batches.py": {
        "StartBatchExecution": "test_every_result_is_at_its_index",
        "GetBatchExecutions": "test_another_users_batch_is_404_and_owners_see_all",
        "GetBatchExecutionStatus": "test_partial_results_keep_their_places",
        "CancelAndDeleteBatchExecution": "test_a_finished_batch_can_be_deleted",
        "GetBatchExecutionFiles": "test_artifacts_are_kept_by_index",
        "GetBatchExecutionFile": "test_artifacts_are_kept_by_index",
    },
    "server/test_durable_batches.py": {
        "getBatchProgress": "test_progress_is_one_small_object_that_can_be_waited_for",
        "cancelBatch": "test_cancelling_keeps_what_was_recorded_and_stops_the_rest_within_a_second",
        "retryBatch": "test_failed_rows_run_again_and_the_others_stay",
        "listBatches": "test_batches_are_found_by_their_id_alone_and_listed_newest_first",
        "getBatch": "test_batches_are_found_by_their_id_alone_and_listed_newest_first",
        "getBatchInputs": "test_rows_are_paged_as_lines_with_their_attempt",
        "listBatchArtifacts": "test_artifacts_are_listed_and_archived",
        "getBatchArchive": "test_artifacts_are_listed_and_archived",
    },
    "server/test_revisions.py": {
        "listRevisions": "test_each_change_is_a_revision_and_any_can_be_gone_back_to",
        "rollbackWebService": "test_each_change_is_a_revision_and_any_can_be_gone_back_to",
        "getServiceSnapshot": "test_what_a_version_holds_downloads_as_a_zip",
        "listFailures": "test_a_call_that_raised_is_kept_with_its_inputs",
        "getFailure": "test_a_call_that_raised_is_kept_with_its_inputs",
        "forgetFailures": "test_they_go_with_their_service_and_stay_over_a_restart",
    },
    "compat/test_operations.py": {
        "keepSnapshot": "test_a_finished_upload_is_kept_as_a_snapshot",
    },
    "compat/test_documents.py": {
        "swagger": "test_the_core_documents_are_valid_and_served",
        "openapi": "test_the_core_documents_are_valid_and_served",
        "GetWebServiceSwagger": "test_service_documents_are_served_to_those_who_may_see_the_service",
        "GetWebServiceOpenAPI": "test_service_documents_are_served_to_those_who_may_see_the_service",
        "consumeLatest": "test_a_name_alone_calls_the_latest_version",
    },
    "ui/test_docs_page.py": {
        "docs": "test_sign_in_choose_and_try",
        "docsFile": "test_sign_in_choose_and_try",
    },
}
"""File of tests, then operation, then the test that proves it. Who may call it is proved for all of them by
`compat/test_operations.py`, which also reaches every refusal."""

HEAD = f"""# Operations

Every operation of the HTTP interface, made from the declarations beside the code by `make operations`. The same, with
every field, is at `/swagger.json` (Swagger 2.0) and `/openapi.json` (OpenAPI 3.1) of a running server, and at `/docs`
to try; each service has its own two documents at `/api/NAME/VERSION/swagger.json` and `openapi.json`.

A refusal is a JSON object with `message`, `code`, `exceptionType`, `fields` and `link`, whatever the operation.
Roles are {", ".join(PERMISSIONS)}. A user changes only what is his or her own, Owners also change what is others'.
For every operation, `tests/compat/test_operations.py` proves that the roles named here and no others may call it, and
reaches each 4xx listed.
"""


def proofs() -> dict[str, str]:
    """The test of each operation, as pytest names it, from the root of the project."""
    return {operation: f"tests/{path}::{test}" for path, tests in PROOFS.items() for operation, test in tests.items()}


def missing() -> list[str]:
    """What is wrong: operations without a test, tests without an operation, tests that are not there."""
    named, known = proofs(), {operation.id for operation in declared()}
    wrong = [f"{operation} has no test in tests/operations.py" for operation in sorted(known - named.keys())]
    wrong += [f"{operation} is no operation any more" for operation in sorted(named.keys() - known)]
    for proof in sorted(set(named.values())):
        path, _, test = proof.partition("::")
        if not (ROOT / path).is_file() or not re.search(rf"def {test}\(", (ROOT / path).read_text()):
            wrong.append(f"there is no {proof}")
    return wrong


def table() -> str:
    """The whole page."""
    tests = proofs()
    parts = [HEAD]
    for tag, text in TAGS.items():
        rows = [_row(operation, tests.get(operation.id, "")) for operation in declared() if operation.tag == tag]
        if rows:
            head = "| address | operation | who | refuses with | proved by |\n|---|---|---|---|---|"
            parts.append(f"## {tag}\n\n{text}\n\n{head}\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _row(operation: Operation, test: str) -> str:
    who = "anybody" if operation.action is None else ", ".join(operation.roles)
    if len(operation.roles) == len(PERMISSIONS):
        who = "every user"
    refuses = ", ".join(
        str(status) for status in sorted({*operation.refuses, *(s for s in operation.gives if s >= 400)})
    )
    path, _, name = test.partition("::")
    proof = f"[{name}](../{path})" if test else ""
    address = f"{operation.method.upper()} {operation.path}"
    return f"| `{address}` | `{operation.id}`: {operation.summary} | {who} | {refuses} | {proof} |"


if __name__ == "__main__":
    for line in missing():
        print(line)
    TABLE.write_text(table())

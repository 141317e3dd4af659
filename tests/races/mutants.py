"""Every rule of the protocol, dropped: what the scenario that keeps it must find."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

from blobstore.core import banned, blobs, delete, download, files, quota, upkeep, upload
from blobstore.core.delete import Which
from blobstore.storage.disk import Disk
from blobstore.storage.staging import DiskStaged
from tests.races import bugs
from tests.races import scenarios as uploading
from tests.races import scenarios_ban as banning
from tests.races import scenarios_delete as deleting
from tests.races.scenarios import Scenario


@dataclass(frozen=True)
class Mutant:
    """A rule that is dropped by `plant`; `scenario` must fail with an error whose text has `sign`."""

    plant: bugs.Plant
    scenario: Scenario
    sign: str


MUTANTS = {
    "the flock is not taken by the sweeper": Mutant(
        bugs.swap(Disk, "exclusive", lambda *_: nullcontext()),
        deleting.a_sweeper_that_stands_still,
        "not served",
    ),
    "the flock is not taken by the publisher": Mutant(
        bugs.swap(Disk, "locked", bugs.locked_for_sweeps_only),
        deleting.a_sweeper_that_stands_still,
        "not served",
    ),
    "the sweeper looks before it takes the flock": Mutant(
        bugs.swap(upkeep, "_sweep_one", bugs.sweep_in_another_order),
        deleting.a_sweeper_that_stands_still,
        "not served",
    ),
    "the sweeper does not look again": Mutant(
        bugs.other_blobs(upkeep, still_disowned=bugs.still),
        deleting.a_list_that_is_old,
        "not served",
    ),
    "a sweep without its first half": Mutant(
        bugs.both(bugs.swap(upkeep, "_disown", lambda *_: 0), *bugs.DROPS_PUBLISHED),
        deleting.bytes_go_only_when_nobody_vouches,
        "a published blob without bytes",
    ),
    "a sweep forgets a row whose location changed": Mutant(
        bugs.reword(blobs, "_FORGET", "\n  AND location IS NOT DISTINCT FROM :location"),
        deleting.a_location_that_changed,
        "bytes without a row",
    ),
    "DO NOTHING for the lock, beside a sweep": Mutant(
        bugs.other_blobs(upload, lock_or_insert=bugs.insert_or_nothing),
        deleting.an_upload_of_what_is_being_forgotten,
        "No row was found",
    ),
    "DO NOTHING for the lock, beside a delete": Mutant(
        bugs.other_blobs(upload, lock_or_insert=bugs.insert_or_nothing),
        uploading.a_delete_beside_the_same_upload,
        "not served",
    ),
    "record without FOR UPDATE": Mutant(
        bugs.other_blobs(upload, lock=bugs.look),
        uploading.two_records_of_one_name,
        "two live files",
    ),
    "the twin is decided before the lock": Mutant(
        bugs.swap(upload._Upload, "record", bugs.twin_before_the_lock),
        uploading.two_records_of_one_name,
        "two live files",
    ),
    "an instant upload without the lock": Mutant(
        bugs.other_blobs(upload, lock=bugs.look),
        uploading.a_delete_beside_an_instant_upload,
        "used_bytes is not",
    ),
    "a rename without the lock": Mutant(
        bugs.other_blobs(files, lock=lambda *_: None),
        uploading.a_rename_beside_an_upload,
        "two live files",
    ),
    "a delete without its locks": Mutant(
        bugs.other_blobs(delete, lock=bugs.look, claimed=bugs.count),
        deleting.two_deletes_of_two_names,
        "claims_files",
    ),
    "a delete locks the claim before the blob": Mutant(
        bugs.swap(delete, "_remove", bugs.claims_before_blobs),
        deleting.a_delete_beside_an_upload,
        "a deadlock",
    ),
    "a delete counts what it did not delete": Mutant(
        bugs.swap(delete, "_delete_rows", bugs.at_least_one),
        deleting.two_deletes_of_one_file,
        "files_owner_id",
    ),
    "quota checked, then charged": Mutant(
        bugs.swap(quota, "charge", bugs.look_then_charge),
        uploading.two_contents_for_one_quota,
        "over quota",
    ),
    "< for <= in the quota": Mutant(
        bugs.reword(quota, "_CHARGE", "<= quota_bytes", "< quota_bytes"),
        uploading.exactly_the_quota,
        "0 are free|are needed",
    ),
    "record without looking whether the row is still there": Mutant(
        bugs.swap(upload._Upload, "_ready", bugs.ready_or_not),
        uploading.a_reaped_upload,
        "not told that it is lost",
    ),
    "the reaper's delete without its condition": Mutant(
        lambda patch, _: patch.setattr(Which.STALLED, "_value_", "id = :id"),
        uploading.a_reaper_that_stands_still,
        "not served",
    ),
    "the id of a file from a sequence": Mutant(
        bugs.ids_from_a_sequence,
        uploading.an_id_after_a_crash_of_the_database,
        "neither published nor known",
    ),
    "recorded before it is published": Mutant(
        bugs.swap(upload._Upload, "finish", bugs.record_first),
        uploading.nothing_is_said_before_it_is_true,
        "a published blob without bytes",
    ),
    "publish skipped when the content is known": Mutant(
        bugs.swap(DiskStaged, "publish", bugs.keep_what_is_there),
        uploading.a_rotten_blob,
        "other bytes",
    ),
    "a damaged blob taken for a whole one": Mutant(
        bugs.other_blobs(upload, lock_or_insert=bugs.always_whole),
        uploading.a_damaged_blob,
        "not served",
    ),
    "record does not heal": Mutant(
        bugs.reword(blobs, "_VOUCH", "damaged_at = NULL", "damaged_at = damaged_at"),
        uploading.a_damaged_blob,
        "known to be",
    ),
    "verify judges bytes that it has not read": Mutant(
        bugs.reword(blobs, "_DAMAGE", " AND published_at = :seen"),
        uploading.a_verifier_that_stands_still,
        "not served",
    ),
    "record does not vouch for the bytes that it replaced": Mutant(
        bugs.other_blobs(upload, vouch=bugs.vouch_if_needed),
        uploading.a_verifier_slower_than_a_healing,
        "not served",
    ),
    "adopt takes a row over": Mutant(
        bugs.reword(blobs, "_ADOPT", "DO NOTHING", bugs.TAKE_OVER),
        uploading.an_adopter_that_stands_still,
        "not served",
    ),
    "a failed upload does not delete its own row": Mutant(
        bugs.swap(upload, "remove", lambda *_: None),
        uploading.an_upload_that_fails_late,
        "stays charged",
    ),
    "synchronous_commit = off for the whole connection": Mutant(
        bugs.reword(upload, "_INSERT_PENDING", "SET LOCAL", "SET"),
        deleting.what_is_acknowledged_is_synchronous,
        "acknowledged asynchronously",
    ),
    "synchronous_commit = off in a delete": Mutant(
        bugs.swap(delete, "_remove", bugs.asynchronous_delete),
        deleting.what_is_acknowledged_is_synchronous,
        "acknowledged asynchronously",
    ),
    "an unknown COMMIT resolved without the lock": Mutant(
        bugs.swap(upload._Upload, "resolve", bugs.resolve_unlocked),
        deleting.a_commit_without_an_answer,
        "stored, and answered",
    ),
    "reserve without looking for the ban": Mutant(
        bugs.reword(blobs, "_CLAIM", banned.REASON.format(":digest"), "CAST(NULL AS text)"),
        banning.an_upload_of_what_is_banned,
        "published although banned",
    ),
    "record without looking for the ban": Mutant(
        bugs.both(*bugs.NO_LAST_LOOK),
        banning.a_ban_beside_an_upload,
        "not told that it is banned",
    ),
    "record looks for the ban before the lock": Mutant(
        bugs.both(bugs.swap(upload._Upload, "record", bugs.look_for_the_ban_first), *bugs.NO_LAST_LOOK),
        banning.a_ban_while_a_record_waits,
        "not told that it is banned",
    ),
    "a ban removes only what is ready": Mutant(
        bugs.reword(banned, "_OWNERS", "digest = :digest", "digest = :digest AND ready_at IS NOT NULL"),
        banning.a_ban_behind_a_record,
        "a file of a banned content is left",
    ),
    "a repeated upload without looking for the ban": Mutant(
        bugs.both(*bugs.NO_LAST_LOOK),
        banning.a_ban_beside_a_repeated_upload,
        "not told that it is banned",
    ),
    "no owner check": Mutant(
        bugs.swap(files, "authorize", lambda *_: None),
        deleting.a_stranger,
        "a stranger gets",
    ),
    "no owner check by hash": Mutant(
        bugs.reword(download, "_FIND", "f.owner_id = $2", "true"),
        deleting.a_stranger,
        "a stranger gets",
    ),
    "a delete empties the file that is read": Mutant(
        bugs.swap(Disk, "delete", bugs.empty_first),
        deleting.a_reader_beside_a_sweep,
        "cut|end early",
    ),
}

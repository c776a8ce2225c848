"""Runs, their records, and the store of records."""

from elmo_mf.records.compression import Budget, Compression, Distillation, FineTuning
from elmo_mf.records.digest import digest
from elmo_mf.records.identity import RunIdentity
from elmo_mf.records.outputs import Outputs, SplitOutputs
from elmo_mf.records.record import Measurements, Record, Retimed, read_record
from elmo_mf.records.run import Run
from elmo_mf.records.store import RecordStore

__all__ = [
    "Budget",
    "Compression",
    "Distillation",
    "FineTuning",
    "Measurements",
    "Outputs",
    "Record",
    "RecordStore",
    "Retimed",
    "Run",
    "RunIdentity",
    "SplitOutputs",
    "digest",
    "read_record",
]

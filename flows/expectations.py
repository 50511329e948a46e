"""Great Expectations: suites over tables, run by checkpoints, with Data Docs. What is expected is in `contract`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recognizer.contract import Expectation, Table

if TYPE_CHECKING:
    from great_expectations.data_context import EphemeralDataContext


@dataclass(frozen=True)
class Suite:
    """A table and what is expected of it.

    Attributes:
        index: columns that name a row where it breaks an expectation.
    """

    name: str
    table: Table
    index: tuple[str, ...]
    expectations: tuple[Expectation, ...]


@dataclass(frozen=True)
class Measurement:
    """What one expectation came to.

    Attributes:
        n: rows looked at; rows without a value do not count.
        offending: rows that break it, of an expectation about rows: the values of column and index columns.
        observed: the measured value, of an expectation about a whole column or table.
        trouble: why it could not be measured; None when it was.
    """

    met: bool
    n: int
    offending: Sequence[Mapping[str, Any]]
    observed: float | None
    trouble: str | None


def validate(suites: Sequence[Suite], docs: Path) -> dict[tuple[str, str], Measurement]:
    """Run every suite and write Data Docs into the folder `docs`; measurements by (suite, expectation)."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    context.add_data_docs_site(site_name="night", site_config=_site(docs))
    tables = context.data_sources.add_pandas("snapshot")
    measurements = {(suite.name, name): one for suite in suites for name, one in _run(context, tables, suite).items()}
    context.build_data_docs(site_names=["night"])  # once: an action of each checkpoint would build all pages anew
    _list_pages(docs)
    return measurements


def _run(context: EphemeralDataContext, tables: Any, suite: Suite) -> dict[str, Measurement]:
    import pandas as pd
    from great_expectations import Checkpoint, ExpectationSuite, ValidationDefinition, expectations
    from great_expectations.core.run_identifier import RunIdentifier

    expected = [
        getattr(expectations, one.kind)(**one.options, description=one.says, meta={"name": one.name})
        for one in suite.expectations
    ]
    definition = ValidationDefinition(
        name=suite.name,
        data=tables.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe("all"),
        suite=context.suites.add(ExpectationSuite(name=suite.name, expectations=expected)),
    )
    checkpoint = Checkpoint(
        name=suite.name,
        validation_definitions=[context.validation_definitions.add(definition)],
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": list(suite.index)},
    )
    frame = pd.DataFrame(dict(suite.table))
    done = context.checkpoints.add(checkpoint).run(
        batch_parameters={"dataframe": frame}, run_id=RunIdentifier(run_name="contract")
    )
    (validation,) = done.run_results.values()
    return {result.expectation_config.meta["name"]: _measurement(result, len(frame)) for result in validation.results}


def _measurement(result: Any, rows: int) -> Measurement:
    if result.exception_info.get("raised_exception", True):
        # one exception, or one for each metric that failed
        info = result.exception_info
        message = info.get("exception_message") or next(iter(info.values()))["exception_message"]
        return Measurement(False, 0, (), None, str(message).strip().splitlines()[0])
    answer = result.result
    observed = answer.get("observed_value")
    return Measurement(
        met=bool(result.success),
        n=answer["element_count"] - answer.get("missing_count", 0) if "element_count" in answer else rows,
        offending=answer.get("unexpected_index_list") or (),
        observed=None if observed is None else float(observed),
        trouble=None,
    )


def _list_pages(docs: Path) -> None:
    """Put plain links on the first page: its own list is made by scripts that a machine without internet lacks."""
    index = docs / "index.html"
    pages = sorted((docs / "validations").rglob("*.html"))
    links = "".join(
        f'<li><a href="{page.relative_to(docs)}">{page.relative_to(docs).parts[1]}</a></li>' for page in pages
    )
    index.write_text(index.read_text().replace("<body>", f"<body><ul>{links}</ul>", 1))


def _site(docs: Path) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())},
    }

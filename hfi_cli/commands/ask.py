"""``hfi-cli explain``, ``proxy list`` and ``metrics``: questions to the control plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from hfi_cli import metrics_view, words
from hfi_cli.choices import Output
from hfi_cli.console import out, row, show_data, show_table, table
from hfi_cli.errors import UsageError
from hfi_cli.session import OutputOption, ServerOption, connect, pairs

if TYPE_CHECKING:
    from hfi_cli.answers import Explanation, Proxy, Step

proxy_app = typer.Typer(help="See the proxies.", no_args_is_help=True)

#: The engine's words for what a rule would do, in the words of a person.
_OUTCOMES = {
    "no_match": "does not match",
    "awaits_response": "awaits the response",
    "misses": "does not fire",
    "may_decide": "may decide",
    "decides": "decides",
    "shadow": "counts only (shadow)",
    "expired": "has ended",
    "probe": "leaves health checks alone",
}
#: Its reasons for "does not match" name what differs; these say all of it themselves.
_WHOLE_REASONS = ("excluded by the policy", "none of anyOf", "what must not match does")


def explain(
    ctx: typer.Context,
    path: Annotated[str, typer.Option("--path", metavar="PATH", help="The request's path.", show_default=False)],
    method: Annotated[str, typer.Option("--method", metavar="METHOD", help="Its method.")] = "GET",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="One of its headers.")
    ] = None,
    status: Annotated[
        int | None,
        typer.Option(
            "--status", metavar="STATUS", min=100, max=599, help="The status of its response.", show_default=False
        ),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", metavar="NAME", help="As a proxy of this cluster.", show_default=False)
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="As a proxy with this label.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file", "-f", metavar="FILE|-", help="Try this policy too, without storing it.", show_default=False
        ),
    ] = None,
    server: ServerOption = None,
    output: OutputOption = None,
) -> None:
    """Say which rule would decide a request, and why the others would not."""
    from hfi_cli import documents

    with connect(ctx, server, output) as session:
        tried = documents.read([file]) if file else []
        if len(tried) > 1:
            raise UsageError(f"{file} holds {len(tried)} documents; one policy can be tried at a time")
        found = session.client.explain(
            path,
            method,
            [_header(text) for text in header or ()],
            status=status,
            cluster=cluster,
            labels=pairs(label, "--label") if label else None,
            policy=tried[0].document if tried else None,
        )
        if session.output is not Output.table:
            show_data(found, session.output)
            return
        _show_explanation(found)


@proxy_app.command("list")
def proxy_list(ctx: typer.Context, server: ServerOption = None, output: OutputOption = None) -> None:
    """List the proxies that this control plane knows: filter and rules, and how current they are."""
    with connect(ctx, server, output) as session:
        found = session.client.proxies()
        if session.output is not Output.table:
            show_data(found["items"], session.output)
            return
        made = table("NODE", "CLUSTER", "LABELS", "STATE", "FILTER", "RULES", "UP TO DATE", "SEEN")
        for proxy in found["items"]:
            rules = proxy["rules"]
            row(
                made,
                proxy["node"],
                proxy["cluster"] or None,
                words.labels(proxy["labels"]),
                "connected" if proxy["connected"] else Text("gone", "red"),
                _filter(proxy),
                rules["version"],
                "yes" if rules["upToDate"] else Text("no", "yellow"),
                words.span(rules["ageMs"]),
            )
        show_table(made, "No proxy has connected yet.")


def metrics(ctx: typer.Context, server: ServerOption = None, output: OutputOption = None) -> None:
    """Show what the filters have counted, and how the control plane is."""
    with connect(ctx, server, output) as session:
        found = session.client.metrics()
        if session.output is not Output.table:
            show_data(found, session.output)
            return
        metrics_view.show(found)


# ------------------------------------------------------------------------------------------------------------


def _header(text: str) -> tuple[str, str]:
    # Behind the first character: the pseudo headers, such as :authority, begin with a colon.
    at = text.find(":", 1)
    if at < 0 or not text[:at].strip():
        raise UsageError(f"--header wants 'NAME: VALUE', not {text!r}")
    return text[:at].strip(), text[at + 1 :].strip()


def _show_explanation(found: Explanation) -> None:
    decision = found["decision"]
    made = table("POLICY", "RULE", "OUTCOME", "CHANCE", "WHY")
    for step in found["steps"]:
        row(made, step["policy"], step["rule"], _outcome(step), _chance(step), _why(step))
    console = out()
    if made.row_count:
        console.print(made)
        console.print()
    if decision is not None and found["none_probability"] == 0 and _sure(found["steps"]):
        console.print(f"{decision['policy']}/{decision['rule']} decides this request.")
    elif found["none_probability"] == 1:
        asked = f"none of {found['rules']} rules touches it" if found["rules"] else "there are no rules"
        console.print(f"This request passes as it is: {asked}.")
    else:
        untouched = words.percentage(found["none_probability"] * 100)
        console.print(f"{untouched} of such requests pass as they are; the rest is decided as above.")
    if decision is None and any(step["outcome"] == "awaits_response" for step in found["steps"]):
        console.print("What becomes of its response is not known: say with --status what the upstream answers.")


def _sure(steps: Sequence[Step]) -> bool:
    return not any(step["outcome"] == "may_decide" and step.get("probability") for step in steps)


def _outcome(step: Step) -> Text:
    style = {"decides": "green", "may_decide": "yellow"}.get(step["outcome"], "")
    return Text(_OUTCOMES.get(step["outcome"], step["outcome"]), style)


def _chance(step: Step) -> str | None:
    probability = step.get("probability")
    return words.percentage(probability * 100) if probability else None


def _why(step: Step) -> str:
    reason = step.get("reason")
    if reason:
        named = step["outcome"] == "no_match" and reason not in _WHOLE_REASONS
        return f"{reason} differs" if named else reason
    share = step.get("percentage")
    return f"fires in {words.percentage(share)}" if share is not None else ""


def _filter(proxy: Proxy) -> Text:
    """The state of the filter's configuration at a proxy, in a word."""
    resources = proxy["xds"]["resources"]
    if not resources:
        return Text("-" if proxy["xds"]["streams"] else "no xDS", "" if proxy["xds"]["streams"] else "yellow")
    bad = [resource for resource in resources if resource["state"] in ("nacked", "not_applied")]
    if bad:
        return Text(f"rejected: {bad[0]['message'] or bad[0]['state']}", "red")
    waiting = any(resource["state"] == "sent" for resource in resources)
    return Text("sent", "yellow") if waiting else Text("applied")

"""Mailboxes: what waits for a client is bounded, and the latest of its kind."""

from jaxnn.web.mailbox import WAITING, Mailbox


def test_a_mailbox_keeps_the_latest_and_a_bounded_number_of_reports() -> None:
    mailbox = Mailbox(lambda: None, lambda: "all reports")
    for i in range(5):
        mailbox.put("status", f"status {i}")
        mailbox.put("snapshot", f"snapshot {i}")
        mailbox.put("report", f"report {i}")
    assert mailbox.take() == [*(f"report {i}" for i in range(5)), "status 4", "snapshot 4"]
    assert mailbox.take() == []
    for i in range(WAITING + 3):
        mailbox.put("report", f"report {i}")
    assert mailbox.take() == ["all reports", f"report {WAITING + 1}", f"report {WAITING + 2}"]


def test_a_client_that_never_reads_costs_a_bounded_amount() -> None:
    mailbox = Mailbox(lambda: None, lambda: "all reports")
    for _ in range(50 * WAITING):
        mailbox.put("report", "report")
        mailbox.put("snapshot", b"snapshot")
        mailbox.put("error", "error")
    assert len(mailbox.take()) <= WAITING + 3

"""What a push says, and how it leaves, when the Hub refuses, is busy, breaks off or dies; and that doing it again helps."""

import pytest
from minihub import Fault
from test_push import uploads


@pytest.mark.parametrize("mode", ["lfs"], indirect=True)
@pytest.mark.parametrize(
    ("token", "repo", "environment", "said"),
    [
        (None, "alice/demo", {}, "no token for the Hub found; set HF_TOKEN to a token with write access"),
        ("hf_wrong", "alice/demo", {}, "alice/demo: the Hub rejected the token (401)"),
        ("hf_reader", "alice/demo", {}, "the token of alice is read-only"),
        ("hf_bob", "alice/demo", {}, "alice/demo: repository not found, and bob cannot create it"),
        (
            "hf_bob",
            "alice/open",
            {},
            "alice/open: the token lacks the permission (403: You don't have the rights to write",
        ),
        ("hf_alice", "alice/demo", {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set, so the network is not used"),
    ],
)
def test_who_may_not_push_is_told_why_and_nothing_is_sent(ftk, server, full_run, token, repo, environment, said):
    server.hub.put("model", "alice/open", {"README.md": b"# open"})
    done = ftk("push", full_run, repo, token=token, **environment)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and said in done.stderr
    assert set(server.hub.repos) == {("model", "alice/open")} and uploads(server.hub) == []


def test_a_busy_hub_is_asked_again(ftk, server, full_run):
    server.hub.faults += [Fault("/api/whoami", "GET", status=503), Fault("/commit/", times=2, status=503)]
    server.hub.faults += [Fault("/api/repos/create"), Fault("/_lfs/", "PUT")]  # these break the connection off
    done = ftk("push", full_run, "alice/demo")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.count("the Hub is down or overloaded (status 503); next attempt in") == 3
    assert done.stdout.count("the Hub cannot be reached") == 1
    assert len(server.hub.repos["model", "alice/demo"].titles) == 2


@pytest.mark.parametrize("mode", ["lfs"], indirect=True)
def test_a_hub_that_stays_busy_is_said(ftk, server, full_run):
    server.hub.faults += [Fault("/commit/", times=99, status=503)]
    done = ftk("push", full_run, "alice/demo")
    assert done.returncode == 1
    assert done.stderr == "error: alice/demo: the Hub is down or overloaded (status 503)\n"


def test_a_push_that_the_hub_did_not_survive_is_done_again(ftk, server, full_run, mode):
    """The server dies while the commit (lfs) or the weights (xet) are on the way."""
    server.hub.faults.append(Fault("/commit/" if mode == "lfs" else "/_cas/v1/xorbs", die=True))
    done = ftk("push", full_run, "alice/demo")
    assert done.returncode == 1
    assert "alice/demo: the Hub cannot be reached" in done.stderr and "Connection refused" in done.stderr
    assert "Traceback" not in done.stderr
    repo = server.hub.repos["model", "alice/demo"]
    assert repo.files() == [".gitattributes"]  # nobody ever sees half a model
    server.hub.log.clear()
    server.start()
    assert ftk("push", full_run, "alice/demo").returncode == 0
    weights = (full_run / "model" / "model.safetensors").read_bytes()
    assert server.hub.content("alice/demo", "model.safetensors") == weights
    assert len(repo.titles) == 2


@pytest.mark.parametrize("mode", ["lfs"], indirect=True)
def test_what_arrived_before_an_interruption_is_not_sent_again(ftk, server, full_run):
    server.hub.faults.append(Fault("/commit/", times=99))
    assert ftk("push", full_run, "alice/demo").returncode == 1
    assert any(path.startswith("/_lfs/") for path in uploads(server.hub))
    server.hub.faults.clear()
    server.hub.log.clear()
    assert ftk("push", full_run, "alice/demo").returncode == 0
    assert [path for path in uploads(server.hub) if path.startswith("/_lfs/")] == []

import pytest

from workflow_scripts.common.redaction import redact, secrets

ENVIRONMENT = {
    "MLFLOW_TRACKING_URI": "https://me:hunter2-e5c1@example.com/mlflow",
    "MLFLOW_TRACKING_PASSWORD": "correct horse",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
    "GITHUB_TOKEN": "ghp_0123456789",
    "OPENAI_APIKEY": "sk-abcdefgh",
    "http_proxy": "http://proxyuser:proxypass@10.0.0.1:3128",
    "SHORT_TOKEN": "1",
    "HOME": "/home/me",
    "EMPTY_SECRET": "",
}


def test_what_is_secret():
    found = secrets(ENVIRONMENT)
    assert set(found) == {
        *("me:hunter2-e5c1", "hunter2-e5c1", "correct horse", "wJalrXUtnFEMI", "ghp_0123456789"),
        *("sk-abcdefgh", "proxyuser:proxypass", "proxypass"),
    }
    assert sorted(found, key=len, reverse=True) == sorted(found, key=lambda one: -len(one))
    assert len(found[0]) == max(map(len, found))


@pytest.mark.parametrize("secret", secrets(ENVIRONMENT))
def test_none_stays(secret):
    text = f"failed with {secret!r}: http://{secret}@host/a and {secret}{secret}"
    assert secret not in redact(text, ENVIRONMENT)


def test_an_address_of_another_origin_loses_its_user_too():
    assert redact("API request to http://me:pw@127.0.0.1:9/api failed", {}) == (
        "API request to http://***@127.0.0.1:9/api failed"
    )


@pytest.mark.parametrize(
    "text", ["loss 0.1 at step 1", "https://example.com/a@b", "a@b.org", "results/tiny/logs/1.log", "1 of 11"]
)
def test_other_text_stays(text):
    assert redact(text, ENVIRONMENT) == text


def test_the_environment_of_this_process_is_the_default(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "abcdefghij")
    assert redact("x abcdefghij") == "x ***"

"""What a failed AWS call means for us, by code and exception type, never by text; used around every boto3 call.

The question that matters for a call that changes something is whether it was done: `BackendThrottled`,
`BackendUnavailable` and `BackendRejected` say no, `ReplyLost` says that only a listing can tell.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as aws  # noqa: TID253 - whoever imports this module is about to call AWS
from botocore.parsers import ResponseParserError  # noqa: TID253

from platyspark_provider.errors import BackendRejected, BackendThrottled, BackendUnavailable, PlatySparkError, ReplyLost

_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_BAD_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_NOT_SENT = (aws.EndpointConnectionError, aws.ConnectTimeoutError, aws.ProxyConnectionError)
_NO_CREDENTIALS = (
    aws.CredentialRetrievalError,
    aws.MetadataRetrievalError,
    aws.NoAuthTokenError,
    aws.NoCredentialsError,
    aws.NoRegionError,
    aws.PartialCredentialsError,
    aws.ProfileNotFound,
    aws.RefreshWithMFAUnsupportedError,
    aws.SSOError,
    aws.TokenRetrievalError,
)
_SIGN_IN_OPERATIONS = frozenset({"AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "GetRoleCredentials"})
_AWS_ERRORS = (aws.BotoCoreError, aws.ClientError, ResponseParserError)
_CREDENTIALS_HINT = "Check the target's AWS connection; nothing was done."


@contextmanager
def aws_errors(action: str, *, mutates: bool) -> Iterator[None]:
    """Translate what the block raises from AWS.

    :param action: the call in words, as the message names it: "RunJobFlow for plsp/prod/...".
    :param mutates: the call changes something, so that a lost answer is `ReplyLost`.
    """
    try:
        yield
    except _AWS_ERRORS as error:
        raise error_from_aws(error, action, mutates=mutates) from error


def error_from_aws(error: Exception, action: str, *, mutates: bool) -> PlatySparkError:
    """Return our error for one of botocore's; `fields["aws_code"]` keeps the service's code."""
    if isinstance(error, aws.ClientError):
        return _from_answer(error, action, mutates=mutates)
    if isinstance(error, _NOT_SENT):
        return BackendUnavailable(
            f"{action}: AWS can't be reached ({error}).", hint="Check the network and the endpoint; nothing was done."
        )
    if isinstance(error, _NO_CREDENTIALS):
        return BackendUnavailable(f"{action}: no usable AWS credentials ({error}).", hint=_CREDENTIALS_HINT)
    if isinstance(error, aws.ParamValidationError):
        return BackendRejected(f"{action}: {error}", hint="Nothing was done.")
    return _lost(f"{action}: no answer arrived ({type(error).__name__}: {error}).", mutates=mutates)


def _from_answer(error: aws.ClientError, action: str, *, mutates: bool) -> PlatySparkError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    text = f"{action}: {code or status}: {error.response.get('Error', {}).get('Message', '')}".rstrip(": ")
    if code in _THROTTLED or status == 429:
        return BackendThrottled(text, aws_code=code)
    if code in _BAD_CREDENTIALS or error.operation_name in _SIGN_IN_OPERATIONS:
        return BackendUnavailable(text, hint=_CREDENTIALS_HINT, aws_code=code)
    if status >= 500:
        return _lost(text, mutates=mutates, aws_code=code)
    return BackendRejected(text, aws_code=code)


def _lost(text: str, *, mutates: bool, aws_code: str = "") -> PlatySparkError:
    if mutates:
        return ReplyLost(text, hint="It may have been done: look by name before asking again.", aws_code=aws_code)
    return BackendUnavailable(text, aws_code=aws_code)

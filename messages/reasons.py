"""Why a command is refused. The order is the order of precedence (CONTRACT §6): of several faults the first is named."""

from __future__ import annotations

from enum import StrEnum, auto


class Reason(StrEnum):
    INVALID_MESSAGE = auto()
    IDEMPOTENCY_CONFLICT = auto()
    EXPIRED = auto()
    NOT_AUTHORIZED = auto()
    ACCOUNT_EXISTS = auto()
    ACCOUNT_NOT_FOUND = auto()
    ACCOUNT_CLOSED = auto()
    ACCOUNT_SUSPENDED = auto()
    PARENT_NOT_ALLOWED = auto()
    SAME_ACCOUNT = auto()
    NOT_IN_HIERARCHY = auto()
    SHARED_BALANCE_ACCOUNT = auto()
    SPONSORED_ACCOUNT = auto()
    NOT_SPONSORED = auto()
    BALANCE_NOT_ZERO = auto()
    ACCOUNT_IN_USE = auto()
    PAYMENT_METHOD_NOT_AVAILABLE = auto()
    DUPLICATE_REFERENCE = auto()
    PLAN_NOT_FOUND = auto()
    PLAN_KIND_MISMATCH = auto()
    PRICE_REQUIRED = auto()
    CYCLE_REQUIRED = auto()
    AMOUNT_TOO_LARGE = auto()
    DEVICE_ALREADY_ONBOARDED = auto()
    DEVICE_NOT_FOUND = auto()
    ORDER_EXISTS = auto()
    ORDER_NOT_FOUND = auto()
    ORDER_NOT_PAYABLE = auto()
    ORDER_NOT_CANCELABLE = auto()
    SESSION_EXISTS = auto()
    SESSION_NOT_FOUND = auto()
    SESSION_CLOSED = auto()
    INVALID_TIME = auto()
    HOLD_EXISTS = auto()
    HOLD_NOT_FOUND = auto()
    HOLD_ALREADY_CAPTURED = auto()
    HOLD_ALREADY_RELEASED = auto()
    HOLD_EXPIRED = auto()
    EXCEEDS_HOLD = auto()
    RESOURCE_EXISTS = auto()
    RESOURCE_NOT_FOUND = auto()
    RESOURCE_TERMINATED = auto()
    SUBSCRIPTION_EXISTS = auto()
    SUBSCRIPTION_NOT_FOUND = auto()
    SUBSCRIPTION_NOT_ACTIVE = auto()
    SUBSCRIPTION_NOT_CANCELED = auto()
    ALREADY_RENEWED = auto()
    CYCLE_NOT_DUE = auto()
    BILL_NOT_FOUND = auto()
    BILL_ALREADY_CONFIRMED = auto()
    TRANSACTION_NOT_FOUND = auto()
    NOT_REFUNDABLE = auto()
    REFUND_EXCEEDS_CHARGE = auto()
    WARNING_NOT_FOUND = auto()
    EXPORT_EXISTS = auto()
    RECLAIM_EXCEEDS_AVAILABLE = auto()
    INSUFFICIENT_CREDIT = auto()
    SPONSOR_INSUFFICIENT_CREDIT = auto()
    MASTER_INSUFFICIENT_CREDIT = auto()
    ABANDONED = auto()


# For whoever reads one: what it means, and what to do where that is not plain. They stand in the contract for machines.
MEANINGS: dict[Reason, str] = {
    Reason.INVALID_MESSAGE: "a field is missing, unknown or out of bounds: `message` names it. The id stays free",
    Reason.IDEMPOTENCY_CONFLICT: "this id was used for other content, whose outcome stays; take a new id",
    Reason.EXPIRED: "it was read after its `expirytime`",
    Reason.NOT_AUTHORIZED: "the producers file does not allow you this command, or an account that it touches",
    Reason.ACCOUNT_EXISTS: "an account with this id is there, open or closed",
    Reason.ACCOUNT_NOT_FOUND: "no account with this id; `platform` is one only as a parent",
    Reason.ACCOUNT_CLOSED: "an account that it names, or whose coins it would move, is closed for good",
    Reason.ACCOUNT_SUSPENDED: "the account, or whose coins it uses, is suspended: no purchases, no transfers",
    Reason.PARENT_NOT_ALLOWED: "an account of this kind and funding cannot stand under that parent",
    Reason.SAME_ACCOUNT: "both accounts of a transfer or a grant are the same",
    Reason.NOT_IN_HIERARCHY: "whoever orders, grants, sets or confirms it does not stand above that account",
    Reason.SHARED_BALANCE_ACCOUNT: "not for an account that draws on its master's coins",
    Reason.SPONSORED_ACCOUNT: "not for an account with an allotment",
    Reason.NOT_SPONSORED: "only for an account with an allotment",
    Reason.BALANCE_NOT_ZERO: "it needs credit 0 and nothing frozen",
    Reason.ACCOUNT_IN_USE: "something of it, under it or on its coins is running or open",
    Reason.PAYMENT_METHOD_NOT_AVAILABLE: "accounts of that country may not pay by this method",
    Reason.DUPLICATE_REFERENCE: "a recharge of this top account, method and reference is booked already",
    Reason.PLAN_NOT_FOUND: "no plan with this id",
    Reason.PLAN_KIND_MISMATCH: "a plan of another kind is needed here",
    Reason.PRICE_REQUIRED: "neither a price nor a plan that has one",
    Reason.CYCLE_REQUIRED: "neither a cycle nor a plan that has one",
    Reason.AMOUNT_TOO_LARGE: "a total would be beyond 10^15",
    Reason.DEVICE_ALREADY_ONBOARDED: "a device is active already, here or elsewhere; none of the list was onboarded",
    Reason.DEVICE_NOT_FOUND: "a device is not active under this account",
    Reason.ORDER_EXISTS: "the order's id is taken",
    Reason.ORDER_NOT_FOUND: "no order with this id",
    Reason.ORDER_NOT_PAYABLE: "only a pending order can be paid",
    Reason.ORDER_NOT_CANCELABLE: "only a pending order can be canceled",
    Reason.SESSION_EXISTS: "the session's id is taken, or the phone is running already",
    Reason.SESSION_NOT_FOUND: "no session with this id",
    Reason.SESSION_CLOSED: "the session was ended already",
    Reason.INVALID_TIME: "a session would end before it began, a hold be over at once, a device be paid for too long",
    Reason.HOLD_EXISTS: "the hold's id is taken",
    Reason.HOLD_NOT_FOUND: "no hold with this id",
    Reason.HOLD_ALREADY_CAPTURED: "the hold was captured to its end",
    Reason.HOLD_ALREADY_RELEASED: "the hold was released",
    Reason.HOLD_EXPIRED: "the hold is past its `expires_at`",
    Reason.EXCEEDS_HOLD: "more than is left of the hold",
    Reason.RESOURCE_EXISTS: "the resource's id is taken",
    Reason.RESOURCE_NOT_FOUND: "no resource with this id",
    Reason.RESOURCE_TERMINATED: "the resource was terminated already",
    Reason.SUBSCRIPTION_EXISTS: "the subscription's id is taken",
    Reason.SUBSCRIPTION_NOT_FOUND: "no subscription with this id, or it was deleted",
    Reason.SUBSCRIPTION_NOT_ACTIVE: "the subscription is canceled, or its cancellation is under way",
    Reason.SUBSCRIPTION_NOT_CANCELED: "only a canceled subscription can be deleted",
    Reason.ALREADY_RENEWED: "that cycle is paid",
    Reason.CYCLE_NOT_DUE: "an earlier cycle is not paid yet",
    Reason.BILL_NOT_FOUND: "no bill with this id",
    Reason.BILL_ALREADY_CONFIRMED: "the bill was confirmed already",
    Reason.TRANSACTION_NOT_FOUND: "no transaction with this number",
    Reason.NOT_REFUNDABLE: "this is no charge (to be reversed: no recharge), or it was taken back already",
    Reason.REFUND_EXCEEDS_CHARGE: "with earlier refunds it would be more than was charged",
    Reason.WARNING_NOT_FOUND: "no warning with this id",
    Reason.EXPORT_EXISTS: "the export's id is taken",
    Reason.RECLAIM_EXCEEDS_AVAILABLE: "more than the customer has available",
    Reason.INSUFFICIENT_CREDIT: "the account has too little available; `message` says whom to ask for more",
    Reason.SPONSOR_INSUFFICIENT_CREDIT: "the sponsor has too little available; its figures are not told",
    Reason.MASTER_INSUFFICIENT_CREDIT: "the master has too little available; its figures are not told",
    Reason.ABANDONED: "it could not be decided, and an operator put it aside or sent another one in its place",
}

"""All controllers of the API."""

from typing import Any

from api.addresses import AddressController
from api.api_keys import ApiKeyController
from api.asyncapi import asyncapi_document
from api.audit import list_breaches, resume_order
from api.carriers import CarrierController, list_carrier_messages
from api.cart_claims import claim_cart, my_cart
from api.cart_reminders import set_reminders, unsubscribe, unsubscribe_by_one_click
from api.carts import CartController
from api.catalog import CategoryController, ProductController, adjust_stock, suggest
from api.catalog_staff import AttributeController, staff_products, write_many
from api.checkouts import check_out
from api.codec import CodecController
from api.customer_groups import CustomerGroupController, MembershipController
from api.documentation import openapi_document
from api.email_changes import EmailChangeController
from api.erasures import ErasureController
from api.events import list_events
from api.exports import ExportController
from api.gift_cards import GiftCardController, check_balance
from api.health import health, ready
from api.hot_variants import HotVariantController
from api.identity import AuthController, public_keys
from api.imports import ImportController
from api.inventory import list_stock, set_low_stock
from api.invitations import InvitationController, accept_invitation
from api.limits import LimitController
from api.locations import LocationController, stock_of_order, transfer_stock
from api.logging import LogLevelController
from api.maintenance import MaintenanceController
from api.metrics import metrics
from api.operators import OperatorController
from api.order_addresses import change_address
from api.orders import OrderController
from api.pages import email_change_page, invitation_page, password_reset_page, unsubscribe_page, verification_page
from api.password_reset import PasswordResetController
from api.price_lists import PriceListController, my_prices
from api.promotions import PromotionController
from api.refunds import refund_order
from api.registration import RegistrationController
from api.returns import ReturnController, request_return
from api.second_factor import SecondFactorController, remove_for_somebody
from api.sessions import SessionController, end_sessions_of
from api.shipping_rates import ShippingMethodController, ShippingZoneController
from api.store_credit import MyStoreCreditController, StoreCreditController
from api.taxes import TaxExemptionController, TaxRateController, TaxRegionController
from api.transfers import payment_received, refund_paid
from api.translations import TranslationController
from api.users import UserController
from api.webhook_endpoints import WebhookDeliveryController, WebhookEndpointController
from api.webhooks import easypost_webhook, stripe_webhook

HANDLERS: list[Any] = [
    openapi_document,
    asyncapi_document,
    health,
    ready,
    metrics,
    RegistrationController,
    AuthController,
    UserController,
    SessionController,
    end_sessions_of,
    AddressController,
    CustomerGroupController,
    MembershipController,
    ErasureController,
    CodecController,
    public_keys,
    verification_page,
    PasswordResetController,
    password_reset_page,
    EmailChangeController,
    email_change_page,
    SecondFactorController,
    remove_for_somebody,
    InvitationController,
    accept_invitation,
    invitation_page,
    ProductController,
    CategoryController,
    TranslationController,
    suggest,
    PriceListController,
    my_prices,
    AttributeController,
    write_many,
    ImportController,
    ExportController,
    staff_products,
    adjust_stock,
    list_stock,
    set_low_stock,
    HotVariantController,
    LimitController,
    LogLevelController,
    MaintenanceController,
    LocationController,
    TaxRegionController,
    TaxRateController,
    TaxExemptionController,
    transfer_stock,
    stock_of_order,
    ShippingZoneController,
    ShippingMethodController,
    CarrierController,
    list_carrier_messages,
    CartController,
    claim_cart,
    my_cart,
    set_reminders,
    unsubscribe,
    unsubscribe_by_one_click,
    unsubscribe_page,
    check_out,
    PromotionController,
    GiftCardController,
    check_balance,
    StoreCreditController,
    MyStoreCreditController,
    OrderController,
    change_address,
    OperatorController,
    list_breaches,
    resume_order,
    list_events,
    refund_order,
    payment_received,
    refund_paid,
    request_return,
    ReturnController,
    ApiKeyController,
    WebhookEndpointController,
    WebhookDeliveryController,
    stripe_webhook,
    easypost_webhook,
]

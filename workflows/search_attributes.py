"""Search attributes of an order's workflow, by which Temporal's lists can be filtered."""

from temporalio.common import SearchAttributeKey

ORDER_STATUS = SearchAttributeKey.for_keyword("OrderStatus")
ORDER_STEP = SearchAttributeKey.for_keyword("OrderStep")
ORDER_SKUS = SearchAttributeKey.for_keyword_list("OrderSkus")
ALL = (ORDER_STATUS, ORDER_STEP, ORDER_SKUS)

"""Which operators' results are worth keeping: products of matrices, convolutions and attention."""

import torch

_PRODUCTS = {
    "aten": {
        "mm", "addmm", "_addmm_activation", "bmm", "baddbmm", "_scaled_mm", "_grouped_mm", "_scaled_grouped_mm",
        "convolution",
    },
}  # fmt: skip
_ATTENTION = {
    "aten": {
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_fused_attention_overrideable",
        "_flash_attention_forward",
        "_efficient_attention_forward",
        "_cudnn_attention_forward",
    },
    "flash_attn": {"_flash_attn_forward", "_flash_attn_varlen_forward"},
    "flash_attn_3": {"_flash_attn_forward"},
}
PRODUCT, ATTENTION, WRITES = "product", "attention", "writes"


class _Kinds(dict):
    """Operator -> PRODUCT, ATTENTION, WRITES for one that writes to its arguments, or None."""

    def __missing__(self, operator):
        self[operator] = kind = _kind(getattr(operator, "_schema", None))
        return kind


def _kind(schema):
    # Operators of higher order have no schema.
    if schema is None:
        return None
    if any(_is_written(argument) for argument in schema.arguments):
        return WRITES
    namespace, _, name = schema.name.partition("::")
    if name in _PRODUCTS.get(namespace, ()):
        return PRODUCT
    return ATTENTION if name in _ATTENTION.get(namespace, ()) else None


def _is_written(argument):
    return argument.alias_info is not None and argument.alias_info.is_write


KINDS = _Kinds()
KEPT = (PRODUCT, ATTENTION)


def storages_written(operator, arguments, options):
    """Addresses of the memory that an operator writes to: of tensors, and of lists of them."""
    for index, argument in enumerate(operator._schema.arguments):
        if _is_written(argument):
            value = arguments[index] if index < len(arguments) else options.get(argument.name)
            for each in value if isinstance(value, (tuple, list)) else (value,):
                if isinstance(each, torch.Tensor):
                    yield each.untyped_storage()._cdata


def draws(operator, arguments, options):
    """Whether attention drops out: the numbers that it draws then would be missing from those that follow."""
    names = [argument.name for argument in operator._schema.arguments]
    if "dropout_p" not in names:
        return False
    index = names.index("dropout_p")
    value = arguments[index] if index < len(arguments) else options.get("dropout_p", 0.0)
    return value != 0.0

"""Which operators' results are worth keeping: products of matrices, convolutions and attention."""

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
PRODUCT, ATTENTION = "product", "attention"


class _Kinds(dict):
    """Operator -> PRODUCT, ATTENTION or None."""

    def __missing__(self, operator):
        namespace, _, name = getattr(operator, "_schema", _Unnamed).name.partition("::")
        in_place = any(out.alias_info is not None for out in getattr(operator, "_schema", _Unnamed).returns)
        kind = None
        if not in_place and name in _PRODUCTS.get(namespace, ()):
            kind = PRODUCT
        elif not in_place and name in _ATTENTION.get(namespace, ()):
            kind = ATTENTION
        self[operator] = kind
        return kind


class _Unnamed:
    """The schema of what has none: operators of higher order."""

    name, returns = "", ()


KINDS = _Kinds()


def draws(operator, arguments, options):
    """Whether attention drops out: the numbers that it draws then would be missing from those that follow."""
    names = [argument.name for argument in operator._schema.arguments]
    if "dropout_p" not in names:
        return False
    index = names.index("dropout_p")
    value = arguments[index] if index < len(arguments) else options.get("dropout_p", 0.0)
    return value != 0.0

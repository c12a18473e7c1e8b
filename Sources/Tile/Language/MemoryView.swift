/// Memory seen as an array, as launches, products and copies take it: where its first element lies, in the address
/// space of its device. It owns nothing. Sizes and strides count elements.
package struct MemoryView {
    package var address: UnsafeMutableRawPointer
    package let shape: [Int]
    package let strides: [Int]
    package let dtype: DType

    package init(address: UnsafeMutableRawPointer, shape: [Int], strides: [Int], dtype: DType) {
        self.address = address
        self.shape = shape
        self.strides = strides
        self.dtype = dtype
    }

    /// Bytes of its elements.
    package var byteCount: Int { shape.reduce(1, *) * dtype.byteCount }
}

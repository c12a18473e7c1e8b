package import LigerRuntime

extension NDArray {
    /// One matrix of a batch, sharing the buffer.
    package func matrix(_ index: Int) -> NDArray {
        NDArray(
            buffer: buffer, offset: offset + index * strides[0], shape: Array(shape[1...]),
            strides: Array(strides[1...]), dtype: dtype)
    }
}

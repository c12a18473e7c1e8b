internal import LigerNN
internal import LigerRuntime

extension TrainingOptions {
    /// Sets how a model's linear layers multiply.
    ///
    /// - Returns: which do so in 8-bit floats; nil where none was to.
    /// - Throws: `TrainerError` (`invalidOptions`) where the device has no such products, or no layer fits them.
    func setProducts(of decoder: Decoder, on device: LigerRuntime.Device) throws -> Float8Layers? {
        guard execution.products == .fp8 else { return nil }
        guard device.traits.multipliesFloat8 else {
            throw TrainerError(
                .invalidOptions,
                "--products fp8 needs a GPU of compute capability 8.9 or later, and \(device.name) is "
                    + "\(device.model ?? "none").",
                remedy: "Leave --products out.")
        }
        let layers = decoder.multiplyInFloat8()
        guard layers.converted.isEmpty else { return layers }
        throw TrainerError(
            .invalidOptions, "--products fp8 finds no layer that could multiply in 8-bit floats: \(layers).",
            remedy: "Leave --products out.")
    }
}

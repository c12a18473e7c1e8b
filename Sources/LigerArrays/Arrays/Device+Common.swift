extension Device {
    /// The device on which arrays can be worked on together; nil if there are none. All objects of the processor are
    /// one device.
    ///
    /// - Throws: `RuntimeError` if they are apart.
    @discardableResult
    package static func common(_ arrays: [NDArray], _ work: @autoclosure () -> String) throws -> Device? {
        guard let first = arrays.first?.device else { return nil }
        for array in arrays {
            let other = array.device
            if other !== first && !(first.traits.isHost && other.traits.isHost) {
                throw RuntimeError(
                    "\(work()) was given arrays of \(first) and of \(other). Copy them to one device")
            }
        }
        return first
    }
}

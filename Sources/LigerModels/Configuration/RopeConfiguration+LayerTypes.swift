import LigerText

/// Positions that differ between layers with a window and layers without.
extension RopeConfiguration {
    private static let types = (full: "full_attention", local: "sliding_attention")
    private static let localTheta = 10_000.0
    private static let fullTheta = 1_000_000.0

    /// Reads either form, or writes both: `rope_parameters` with an object for each type of layer (transformers 5), or
    /// `rope_theta`, `rope_scaling` and `rope_local_base_freq` (transformers 4). Where a file has both, they must agree.
    ///
    /// - Parameters:
    ///   - full: of layers without a window.
    ///   - local: of layers with one; nothing stretches these in the older form.
    static func visit(
        _ keys: inout ConfigurationKeys, full: inout RopeConfiguration, local: inout RopeConfiguration,
        positions: Int, headSize: Int
    ) {
        keys.write("rope_theta", .number(full.theta))
        keys.write("rope_local_base_freq", .number(local.theta))
        keys.write("rope_scaling", full.scaling == nil ? .null : .object(full.members(withTheta: false)))
        keys.write(
            "rope_parameters",
            .object([
                types.full: .object(full.members(withTheta: true)),
                types.local: .object(local.members(withTheta: true)),
            ]))
        guard keys.isReading else { return }
        let around = RopeScaling.Surroundings(
            positions: positions, waves: headSize / 2, originalContext: nil)
        let (olderFull, olderLocal) = readOlder(&keys, around)
        guard var nested = keys.object("rope_parameters") else {
            (full, local) = (
                olderFull ?? RopeConfiguration(theta: fullTheta),
                olderLocal ?? RopeConfiguration(theta: localTheta)
            )
            return check(&keys, full, local)
        }
        let newerFull = readObject(
            &nested, key: types.full, outerTheta: olderFull?.theta ?? fullTheta, isPlain: true, around)
        let newerLocal = readObject(
            &nested, key: types.local, outerTheta: olderLocal?.theta ?? localTheta, isPlain: true, around)
        nested.refuseKeys(notIn: [types.full, types.local])
        keys.take(problemsOf: nested)
        full = newerFull ?? olderFull ?? RopeConfiguration(theta: fullTheta)
        local = newerLocal ?? olderLocal ?? RopeConfiguration(theta: localTheta)
        let agrees = (olderFull ?? full) == full && (olderLocal ?? local) == local
        keys.check(
            agrees || keys.faulty.contains { $0.hasPrefix("rope_") }, "rope_parameters",
            found: "values that differ from rope_theta, rope_scaling or rope_local_base_freq",
            expected: "the same in both places", advice: "Remove the one that is out of date.")
        check(&keys, full, local)
    }

    /// What the older form says of layers without a window, and with one.
    private static func readOlder(
        _ keys: inout ConfigurationKeys, _ around: RopeScaling.Surroundings
    ) -> (full: RopeConfiguration?, local: RopeConfiguration?) {
        var (theta, localTheta) = (fullTheta, localTheta)
        let hasTheta = keys.value("rope_theta") != nil
        let hasLocal = keys.value("rope_local_base_freq") != nil
        if hasTheta { keys.number("rope_theta", &theta) }
        if hasLocal { keys.number("rope_local_base_freq", &localTheta) }
        let scaled = readObject(&keys, key: "rope_scaling", outerTheta: theta, around)
        return (
            scaled ?? (hasTheta ? RopeConfiguration(theta: theta) : nil),
            hasLocal ? RopeConfiguration(theta: localTheta) : nil
        )
    }

    private static func check(
        _ keys: inout ConfigurationKeys, _ full: RopeConfiguration, _ local: RopeConfiguration
    ) {
        full.check(&keys)
        local.check(&keys)
    }
}

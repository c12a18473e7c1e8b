package import Tile

/// The storage types that kernels compute on.
package let floatTypes: [DType] = [.f32, .bf16, .f16]

/// The largest difference, relative to `scale` (by default the largest expected magnitude); infinite if
/// a difference is not finite or there are not as many numbers. Where terms cancel, the scale is that of
/// the terms.
package func relativeError(_ found: [Double], _ expected: [Double], scale: Double? = nil) -> Double {
    guard found.count == expected.count else { return .infinity }
    var worst = 0.0
    for (a, b) in zip(found, expected) {
        let difference = (a - b).magnitude
        guard difference.isFinite else { return .infinity }
        worst = max(worst, difference)
    }
    return worst / max(scale ?? expected.map(\.magnitude).max() ?? 0, 1e-30)
}

/// The length of the difference over the length of what was expected; infinite if a difference is not
/// finite or there are not as many numbers.
package func normError(_ found: [Double], _ expected: [Double]) -> Double {
    guard found.count == expected.count else { return .infinity }
    let difference = zip(found, expected).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    guard difference.isFinite else { return .infinity }
    return (difference / max(expected.reduce(0) { $0 + $1 * $1 }, 1e-60)).squareRoot()
}

/// The bound on `relativeError`: fp32 arithmetic over `terms` terms, then roundings to the storage type.
package func bound(_ dtype: DType, terms: Int = 1, roundings: Double = 1) -> Double {
    let storage = dtype == .f32 ? 0 : roundings * (dtype.epsilon ?? 0) / 2 * 1.01
    return storage + 4e-7 * Double(terms).squareRoot().rounded(.up)
}

/// Where two collections first differ; nil where they are equal. For long ones, of which `#expect(a == b)`
/// would list every difference for minutes.
@inlinable package func firstDifference<Element: Equatable>(
    _ found: some Collection<Element>, _ expected: some Collection<Element>
) -> Int? {
    if let place = zip(found, expected).enumerated().first(where: { $1.0 != $1.1 })?.offset { return place }
    return found.count == expected.count ? nil : min(found.count, expected.count)
}

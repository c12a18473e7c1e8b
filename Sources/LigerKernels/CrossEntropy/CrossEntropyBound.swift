import Tile

extension CrossEntropy.Options {
    /// What no lse of logits in f16 exceeds: their largest number is 65504, and the logarithm of any number of classes
    /// below 20.
    var largestLSE: Float { min(softcap ?? 65504, 65504) + 20 }
}

/// What no magnitude in the logits' gradient exceeds: each part of it is at most the largest class weight, and the
/// z-loss adds a multiple of lse. One program.
struct CrossEntropyBound: TileKernel {
    let weights: DType?
    let hasUpstream: Bool
    /// Of the z-loss.
    let largestSlope: Float

    func body(_ p: Program) {
        let shares = p.input("shares", .f32, rank: 1), bound = p.output("bound", .f32, rank: 1)
        let weights = weights.map { p.input("weights", $0, rank: 1) }
        let upstream = hasUpstream ? p.input("upstream", .f32, rank: 1) : nil
        var most = abs(shares[0])
        if let weights { most = most * largestMagnitude(of: weights, p) }
        if largestSlope > 0 { most = most + abs(shares[1]) * largestSlope }
        bound[0] = upstream.map { most * largestMagnitude(of: $0, p) } ?? most
    }
}

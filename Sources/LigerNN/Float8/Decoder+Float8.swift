import LigerRuntime

/// Which linear layers multiply in 8-bit floats.
package struct Float8Layers: Sendable, Equatable, CustomStringConvertible {
    /// Names of those that do.
    package let converted: [String]
    /// Names of those that do not, with the reason.
    package let kept: [(name: String, reason: String)]

    package static func == (a: Float8Layers, b: Float8Layers) -> Bool {
        a.converted == b.converted && a.kept.elementsEqual(b.kept) { $0 == $1 }
    }

    /// `28 linear layers multiply in 8-bit floats; 4 stay: a size is no multiple of 16`
    package var description: String {
        var counts: [(reason: String, count: Int)] = []
        for (_, reason) in kept {
            if let place = counts.firstIndex(where: { $0.reason == reason }) {
                counts[place].count += 1
            } else {
                counts.append((reason, 1))
            }
        }
        return "\(converted.count) linear layers multiply in 8-bit floats"
            + counts.map { "; \($0.count) stay: \($0.reason)" }.joined()
    }
}

extension Decoder {
    /// Names of layers that choose experts: a small error there changes the choice.
    private static let routers: Set<Substring> = ["gate", "router"]

    /// Has the linear layers within the blocks multiply in 8-bit floats from now on. The head, which makes logits, is none
    /// of them, and factors of adapters neither.
    package func multiplyInFloat8() -> Float8Layers {
        var converted: [String] = []
        var kept: [(name: String, reason: String)] = []
        for layer in linearLayers {
            if let reason = Self.reasonAgainstFloat8(layer) {
                kept.append((layer.name, reason))
            } else {
                layer.isFloat8 = true
                converted.append(layer.name)
            }
        }
        return Float8Layers(converted: converted, kept: kept)
    }

    /// Whether any layer multiplies in 8-bit floats.
    package var multipliesInFloat8: Bool { linearLayers.contains(where: \.isFloat8) }

    private static func reasonAgainstFloat8(_ layer: LinearProducts) -> String? {
        if let last = layer.name.split(separator: ".").last, routers.contains(last) { return "a router" }
        if !layer.weight.shape.allSatisfy({ $0.isMultiple(of: MatMul.float8Multiple) }) {
            return "a size is no multiple of \(MatMul.float8Multiple)"
        }
        return nil
    }

    /// Rounds the frozen weights of layers that multiply in 8 bits once and for all, and gives up what they were rounded
    /// from: results keep their bits. DoRA needs the weights' lengths, so that they stay.
    ///
    /// - Throws: `RuntimeError` when memory runs out.
    package func holdFrozenWeightsInFloat8() throws {
        if adapters?.options.isWeightDecomposed == true { return }
        for layer in linearLayers where layer.isFloat8 && !layer.weight.requiresGradient {
            try layer.weight.holdInFloat8()
        }
    }
}

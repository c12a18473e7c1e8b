import LigerKernels
import LigerText

/// Which layers have a window, by the names of Hugging Face's configurations.
package struct LayerWindows: Sendable, Hashable {
    private static let names = [false: "full_attention", true: "sliding_attention"]

    /// Of each layer.
    package var slides: [Bool]

    /// The same for some layers.
    package init(count: Int, slides: (Int) -> Bool = { _ in false }) {
        self.slides = (0..<max(0, count)).map(slides)
    }

    /// Reads or writes `layer_types`.
    ///
    /// - Parameters:
    ///   - count: of layers.
    ///   - standard: which layers have a window where the file does not say.
    package mutating func visit(_ keys: inout ConfigurationKeys, count: Int, default standard: (Int) -> Bool)
    {
        let count = max(0, min(count, ConfigurationKeys.largestExtent))
        var types = slides.map { Self.names[$0] ?? "" }
        let usual = (0..<count).map { Self.names[standard($0)] ?? "" }
        keys.strings("layer_types", &types, default: usual)
        guard keys.isReading else { return }
        let isSound = keys.check(
            types.count == count && types.allSatisfy(Self.names.values.contains), "layer_types",
            found: "\(types.count) for \(count) layers"
                + (types.first { !Self.names.values.contains($0) }.map { ", one of them \($0)" } ?? ""),
            expected: "full_attention or sliding_attention for each layer")
        slides = isSound ? types.map { $0 == Self.names[true] } : Array(repeating: false, count: count)
    }

    /// What the attention of a layer does.
    func rule(ofLayer number: Int, _ common: AttentionRule, window: Int?) -> AttentionRule {
        var rule = common
        rule.window = slides[number] ? window : nil
        return rule
    }
}

extension DecoderConfiguration {
    /// Reads or writes `use_sliding_window` and what goes with it, as Qwen's families have them: without it the window
    /// counts for nothing.
    ///
    /// - Parameters:
    ///   - windows: of layers; nil where all layers are alike.
    ///   - standard: which layers have a window where the file does not say.
    mutating func visitOptionalWindow(
        _ keys: inout ConfigurationKeys, default window: Int?, _ windows: inout LayerWindows,
        _ standard: (Int) -> Bool
    ) {
        var isUsed = self.window != nil
        keys.flag("use_sliding_window", &isUsed, default: false)
        if keys.isReading && !isUsed { self.window = nil } else { keys.window(&self.window, default: window) }
        let hasWindow = self.window != nil
        windows.visit(&keys, count: layerCount) { hasWindow && standard($0) }
        keys.check(
            hasWindow || !windows.slides.contains(true), "layer_types", "use_sliding_window",
            found: "sliding_attention without a window", expected: "a window, or full_attention alone")
    }
}

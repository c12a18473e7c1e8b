internal import ArgumentParser
internal import LigerNN

/// Which parts run on fused kernels.
struct KernelArguments: ParsableArguments {
    @Option(
        help: """
            Fused kernels (liger), or plain code in their place (reference). The switches below change \
            one part each: --kernels reference --rope fuses RoPE alone.
            """)
    var kernels = KernelSelection.Preset.liger

    @Flag(inversion: .prefixedNo, help: "Rotary positions.")
    var rope: Bool?

    @Flag(inversion: .prefixedNo, help: "RMSNorm.")
    var rmsNorm: Bool?

    @Flag(name: .customLong("swiglu"), inversion: .prefixedNo, help: "SwiGLU.")
    var swiGLU: Bool?

    @Flag(inversion: .prefixedNo, help: "Cross entropy.")
    var crossEntropy: Bool?

    @Flag(
        inversion: .prefixedNo,
        help:
            "The output layer together with cross entropy, in chunks, so that the logits never exist at once."
    )
    var fusedLinearCrossEntropy: Bool?

    /// Refuses a switch that has no effect: the fused output layer has a cross entropy of its own.
    func validate() throws {
        guard crossEntropy == false, selection[.fusedLinearCrossEntropy] else { return }
        throw ValidationError(
            "--no-cross-entropy has no effect where the output layer is fused with it; leave it out, or add "
                + "--no-fused-linear-cross-entropy")
    }

    /// The selection that the options come to.
    var selection: KernelSelection {
        let given: [(KernelSelection.Switch, Bool?)] = [
            (.rope, rope), (.rmsNorm, rmsNorm), (.swiGLU, swiGLU), (.crossEntropy, crossEntropy),
            (.fusedLinearCrossEntropy, fusedLinearCrossEntropy),
        ]
        var selection = KernelSelection(kernels)
        for case (let part, let isOn?) in given { selection[part] = isOn }
        return selection
    }
}

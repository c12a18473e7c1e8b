import LigerKernels

extension OperationFamily {
    /// What follows the gradients, and random numbers: for the native trainer, which has no need of C.
    static let steps = [
        OperationFamily(GradientNorm.self), OperationFamily(AdamW.self), OperationFamily(RandomFill.self),
    ]
}

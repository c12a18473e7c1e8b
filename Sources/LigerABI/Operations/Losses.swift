import LigerKernels
import LigerLosses
import LigerRuntime
import Tile

extension OperationFamily {
    static let losses = [
        crossEntropy, crossEntropyTVD, fusedLinearCrossEntropy, shardedLinearCrossEntropy,
        fusedLinearScaledCrossEntropy,
    ]

    private static let crossEntropy = OperationFamily(
        CrossEntropy.self,
        Operation("cross_entropy") { s in
            let logits = s.input("logits"), labels = s.input("labels")
            let classWeights = s.optionalInput("class_weights"), normaliser = s.optionalInput("normaliser")
            let upstream = s.optionalInput("upstream"), options = CrossEntropyOptions(&s)
            options.outputs(&s, of: logits, lossType: .of(logits))
            s.output("gradient", like: logits, when: .has(.gradient, in: options.wants))
            // What rows of an f16 gradient still have to be multiplied by.
            s.output(
                "gradient_scales", [.rows(of: logits)], .f32,
                when: .has([.gradient, .scale], in: options.wants), .holds(logits, .f16), .absent(upstream))
            return { a in
                let logits = a[logits]
                let r = try CrossEntropy.forward(
                    logits: logits, labels: a[labels], classWeights: a[classWeights],
                    options: options.read(a), normaliser: a[normaliser], upstream: a[upstream],
                    wants: a[options.wants])
                let zLoss = a[options.wantsZLoss] ? try r.zLoss?.cast(to: logits.dtype) : nil
                return [
                    try r.loss.cast(to: logits.dtype), zLoss, r.accuracy, r.argmax, r.gradient,
                    r.gradientScales,
                ]
            }
        },
        // x times one number, or one per row.
        Operation("scaled_rows") { s in
            let x = s.input("x"), factor = s.input("factor")
            s.output("y", like: x)
            return { a in
                let y = try a[x].copy()
                try CrossEntropy.scale(y, by: a[factor])
                return [y]
            }
        },
        // The same, into x itself.
        Operation("scale_rows") { s in
            let x = s.writtenInput("x"), factor = s.input("factor")
            return { a in
                try CrossEntropy.scale(a[x], by: a[factor])
                return []
            }
        },
        // Of logits whose classes are spread over ranks: what one rank's say by themselves, and their gradient.
        Operation("class_parts") { s in
            let logits = s.input("logits"), labels = s.input("labels"), first = s.whole("first_class")
            s.output("numbers", [.constant(4), .rows(of: logits)], .f32)
            return { a in
                [try CrossEntropyParts.numbers(of: a[logits], labels: a[labels], first: a[first])]
            }
        },
        Operation("class_parts_gradient") { s in
            let logits = s.input("logits"), labels = s.input("labels"), joined = s.input("joined")
            let first = s.whole("first_class"), ignoreIndex = s.whole("ignore_index", default: -100)
            s.output("gradient", like: logits)
            return { a in
                [
                    try CrossEntropyParts.gradient(
                        of: a[logits], labels: a[labels], first: a[first], joined: a[joined],
                        ignoreIndex: a[ignoreIndex])
                ]
            }
        })

    private static let crossEntropyTVD = OperationFamily(
        CrossEntropyTVD.self,
        Operation("cross_entropy_tvd_forward") { s in
            let student = s.input("student"), teacher = s.input("teacher"), labels = s.input("labels")
            let ignoreIndex = s.whole("ignore_index", default: -100)
            s.output("cross_entropy", [.rows(of: student)], .f32)
            s.output("total_variation", [.rows(of: student)], .f32)
            s.output("statistics", [.rows(of: student), .constant(4)], .f32)
            return { a in
                let r = try CrossEntropyTVD.forward(
                    student: a[student], teacher: a[teacher], labels: a[labels], ignoreIndex: a[ignoreIndex])
                return [r.crossEntropy, r.totalVariation, r.statistics]
            }
        },
        Operation("cross_entropy_tvd_backward") { s in
            let dCrossEntropy = s.input("dcross_entropy"), dVariation = s.input("dtotal_variation")
            let student = s.input("student"), teacher = s.input("teacher"), labels = s.input("labels")
            let statistics = s.input("statistics"), ignoreIndex = s.whole("ignore_index", default: -100)
            s.output("dstudent", like: student)
            return { a in
                [
                    try CrossEntropyTVD.backward(
                        dCrossEntropy: a[dCrossEntropy], dTotalVariation: a[dVariation], student: a[student],
                        teacher: a[teacher], labels: a[labels], statistics: a[statistics],
                        ignoreIndex: a[ignoreIndex])
                ]
            }
        })

    private static let shardedLinearCrossEntropy = OperationFamily(
        ShardedLinearCrossEntropy.self, SharedClassSteps.all)

    private static let fusedLinearCrossEntropy = OperationFamily(
        FusedLinearCrossEntropy.self,
        Operation("fused_linear_cross_entropy") { s in
            let head = HeadInputs(&s), labels = s.input("labels")
            let classWeights = s.optionalInput("class_weights"), normaliser = s.optionalInput("normaliser")
            let upstream = s.optionalInput("upstream"), options = CrossEntropyOptions(&s)
            let memory = MemoryOptions(&s), needs = s.bits("needs", default: LinearNeeds.all)
            options.outputs(&s, of: head.input, lossType: .f32)
            head.gradients(&s, needs)
            return { a in
                let input = a[head.input]
                let r = try FusedLinearCrossEntropy.forward(
                    input: input, weight: a[head.weight], bias: a[head.bias], labels: a[labels],
                    classWeights: a[classWeights],
                    options: FusedLinearCrossEntropy.Options(
                        options.read(a), budgetBytes: a[memory.budgetBytes],
                        accumulation: a[memory.accumulation]),
                    normaliser: a[normaliser], upstream: a[upstream], wants: a[options.wants],
                    needs: a[needs])
                let zLoss = a[options.wantsZLoss] ? try r.zLoss?.cast(to: input.dtype) : nil
                return [r.loss, zLoss, r.accuracy, r.argmax, r.dInput, r.dWeight, r.dBias] + r.scales.all
            }
        })

    static let divergences = [
        OperationFamily(
            Divergence.self,
            Operation("divergence") { s in
                let student = s.input("student"), teacher = s.input("teacher")
                let labels = s.optionalInput("labels")
                let formula = s.choice("formula", default: DivergenceFormula.kl)
                let reduction = s.choice("reduction", default: Divergence.Reduction.batchMean)
                let ignoreIndex = s.whole("ignore_index", default: -100)
                let beta = s.number("beta", default: 0.5), eps = s.number("eps", default: 1e-10)
                let needsGradient = s.flag("needs_gradient", default: true)
                let needsScales = s.flag("needs_scales")
                s.output("loss", [.all(of: student).when(.is(reduction, .none))], .f32)
                s.output("gradient", like: student, when: .on(needsGradient))
                // What rows of an f16 gradient still have to be multiplied by.
                s.output(
                    "gradient_scales", [.rows(of: student)], .f32, when: .on(needsGradient), .on(needsScales),
                    .holds(student, .f16))
                return { a in
                    let r = try Divergence.forward(
                        a[formula].formula(beta: a[beta], eps: a[eps]), student: a[student],
                        teacher: a[teacher], labels: a[labels],
                        options: Divergence.Options(reduction: a[reduction], ignoreIndex: a[ignoreIndex]),
                        wantsGradient: a[needsGradient], wantsScales: a[needsScales])
                    return [r.loss, r.gradient, r.gradientScales]
                }
            },
            // x times an array of its shape.
            Operation("scaled_entries") { s in
                let x = s.input("x"), factor = s.input("factor")
                s.output("y", like: x)
                return { a in
                    let y = try a[x].copy()
                    try Divergence.scale(y, byEntry: a[factor])
                    return [y]
                }
            })
    ]
}

private struct CrossEntropyOptions {
    private let ignoreIndex: Option<Int>
    private let zLoss, labelSmoothing: Option<Float>
    private let reduction: Option<CrossEntropy.Reduction>
    private let softcap: Option<Float?>
    private let tokenScaling: Option<Bool>
    let wants: Option<CrossEntropy.Outputs>
    /// Whether the z-loss is a result of its own.
    let wantsZLoss: Option<Bool>

    init(_ s: inout Signature) {
        ignoreIndex = s.whole("ignore_index", default: -100)
        zLoss = s.number("z_loss", default: 0)
        labelSmoothing = s.number("label_smoothing", default: 0)
        reduction = s.choice("reduction", default: .mean)
        softcap = s.optionalNumber("softcap")
        wants = s.bits("wants", default: [])
        wantsZLoss = s.flag("wants_z_loss")
        tokenScaling = s.flag("token_scaling")
    }

    func read(_ a: Arguments) -> CrossEntropy.Options {
        CrossEntropy.Options(
            ignoreIndex: a[ignoreIndex], labelSmoothing: a[labelSmoothing], zLoss: a[zLoss],
            softcap: a[softcap], reduction: a[reduction], tokenScaling: a[tokenScaling])
    }

    /// The loss and what is asked for with it: one number, or one a row.
    func outputs(_ s: inout Signature, of rows: Input<NDArray>, lossType: OutputType) {
        let shape = [Sizes.rows(of: rows).when(.is(reduction, .none))]
        s.output("loss", shape, lossType)
        s.output("z_loss", shape, .of(rows), when: .on(wantsZLoss), .isNotZero(zLoss))
        s.output("accuracy", shape, .f32, when: .has(.accuracy, in: wants))
        s.output("argmax", [.rows(of: rows)], .i32, when: .has(.argmax, in: wants))
    }
}

private enum DivergenceFormula: String, CaseIterable {
    case kl, jsd, tvd
    case klOfLogarithms = "kl_of_logarithms"

    func formula(beta: Float, eps: Float) -> Divergence.Formula {
        switch self {
        case .kl: .kullbackLeibler(eps: eps)
        case .klOfLogarithms: .kullbackLeiblerOfLogarithms
        case .jsd: .jensenShannon(beta: beta)
        case .tvd: .totalVariation
        }
    }
}

extension NDArray {
    /// Rounded once.
    fileprivate func cast(to dtype: DType) throws -> NDArray { try Cast.apply(self, to: dtype) }

    /// The same elements in memory of their own.
    func copy() throws -> NDArray {
        let copy = try NDArray(empty: shape, dtype: dtype, device: device)
        try copyBytes(to: copy)
        return copy
    }
}

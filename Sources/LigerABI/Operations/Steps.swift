import LigerKernels
import LigerRuntime
import Tile

extension OperationFamily {
    /// What follows the gradients, and random numbers; C takes an optimiser's step, the rest is the native trainer's.
    static let steps = [OperationFamily(GradientNorm.self), adamW, OperationFamily(RandomFill.self)]

    private static let adamW = OperationFamily(
        AdamW.self,
        Operation("adamw_step") { s in
            let parameter = s.writtenInput("parameter"), gradient = s.input("gradient")
            let m = s.writtenInput("m"), v = s.writtenInput("v")
            let mScale = s.optionalWrittenInput("m_scale"), vScale = s.optionalWrittenInput("v_scale")
            let master = s.optionalWrittenInput("master"), numbers = s.input("numbers")
            let counters = s.optionalInput("counters"), tensors = s.optionalInput("tensors")
            let factor = s.optionalInput("factor"), isStochastic = s.flag("stochastic")
            return { a in
                let scales: (m: NDArray, v: NDArray)? =
                    if let mScale = a[mScale], let vScale = a[vScale] { (mScale, vScale) } else { nil }
                let slot = AdamW.Slot(
                    parameter: a[parameter], gradient: a[gradient], m: a[m], v: a[v], scales: scales,
                    master: a[master])
                try AdamW.step(
                    slot, numbers: a[numbers], counters: a[counters], tensors: a[tensors],
                    rounding: a[isStochastic] ? .stochastic : .toNearest, factor: a[factor])
                return []
            }
        })
}

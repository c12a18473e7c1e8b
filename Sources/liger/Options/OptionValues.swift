public import ArgumentParser
public import LigerNN
public import LigerTrainer
internal import Tile

// Words on the command line that are one of a few: ArgumentParser then rejects any other with the list.
extension TrainingOptions.Execution.Masters: ExpressibleByArgument {}
extension TrainingOptions.Execution.Shard: ExpressibleByArgument {}
extension TrainingOptions.Execution.Head: ExpressibleByArgument {}
extension TrainingOptions.Execution.Recompute: ExpressibleByArgument {}
extension TrainingOptions.Execution.Products: ExpressibleByArgument {}
extension AttentionMethod: ExpressibleByArgument {}
extension KernelSelection.Preset: ExpressibleByArgument {}
extension LearningRateSchedule.Shape: ExpressibleByArgument {}
extension TrainingOptions.ObjectiveChoice.Kind: ExpressibleByArgument {}
extension TrainingOptions.InstructionChoice.LossOn: ExpressibleByArgument {}
extension TrainingOptions.InstructionChoice.OverLength: ExpressibleByArgument {}
extension TrainingOptions.ObjectiveChoice.LossType: ExpressibleByArgument {}
extension TrainingOptions.ObjectiveChoice.Ratio: ExpressibleByArgument {}

extension TrainingOptions.Device: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

/// A storage type that a model can be trained in.
struct TrainingDType: ExpressibleByArgument, CustomStringConvertible {
    let dtype: DType

    init(_ dtype: DType) { self.dtype = dtype }

    init?(argument: String) {
        guard let dtype = DType(rawValue: argument), TrainingOptions.dtypes.contains(dtype) else {
            return nil
        }
        self.dtype = dtype
    }

    static var allValueStrings: [String] { TrainingOptions.dtypes.map(\.rawValue) }
    var description: String { dtype.rawValue }
}

/// A storage type of AdamW's means.
struct MomentType: ExpressibleByArgument, CustomStringConvertible {
    let dtype: DType

    init(_ dtype: DType) { self.dtype = dtype }

    init?(argument: String) {
        guard let dtype = DType(rawValue: argument),
            TrainingOptions.Execution.momentTypes.contains(dtype)
        else { return nil }
        self.dtype = dtype
    }

    static var allValueStrings: [String] { TrainingOptions.Execution.momentTypes.map(\.rawValue) }
    var description: String { dtype.rawValue }
}

/// A storage type that kernels take.
struct StorageType: ExpressibleByArgument {
    static let all: [DType] = [.f32, .bf16, .f16]

    let dtype: DType

    init?(argument: String) {
        guard let dtype = Self.all.first(where: { $0.rawValue == argument }) else { return nil }
        self.dtype = dtype
    }

    static var allValueStrings: [String] { all.map(\.rawValue) }
}

/// Bytes: a number, or one with a unit, as in `80GiB`, `1.5GB` or `512 MiB`.
struct ByteCount: ExpressibleByArgument {
    private static let units: [(name: String, bytes: Double)] = [
        ("kib", 0x1p10), ("mib", 0x1p20), ("gib", 0x1p30), ("tib", 0x1p40), ("kb", 1e3), ("mb", 1e6),
        ("gb", 1e9), ("tb", 1e12), ("b", 1), ("", 1),
    ]

    let count: Int

    init?(argument: String) {
        let text = argument.lowercased()
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let rest = text.dropFirst(digits.count).drop { $0 == " " }
        guard let number = Double(digits), let unit = Self.units.first(where: { $0.name == rest }) else {
            return nil
        }
        let bytes = (number * unit.bytes).rounded(.down)
        guard bytes >= 1, bytes < 0x1p60 else { return nil }
        count = Int(bytes)
    }
}

/// Two numbers, as in `0.2,0.28`.
private func twoNumbers(_ argument: String) -> (Double, Double)? {
    let values = argument.split(separator: ",", omittingEmptySubsequences: false).map { Double($0) }
    guard values.count == 2, let first = values[0], let second = values[1] else { return nil }
    return (first, second)
}

extension TrainingOptions.ObjectiveChoice.ClipRatio: ExpressibleByArgument, CustomStringConvertible {
    public init?(argument: String) {
        guard let (low, high) = twoNumbers(argument) else { return nil }
        self.init(low, high)
    }

    public var description: String { "\(low),\(high)" }
}

/// AdamW's two decay rates, as in `0.9,0.95`.
struct Betas: ExpressibleByArgument, CustomStringConvertible {
    let first: Double
    let second: Double

    init(_ first: Double, _ second: Double) {
        self.first = first
        self.second = second
    }

    init?(argument: String) {
        guard let (first, second) = twoNumbers(argument) else { return nil }
        self.init(first, second)
    }

    var description: String { "\(first),\(second)" }
}

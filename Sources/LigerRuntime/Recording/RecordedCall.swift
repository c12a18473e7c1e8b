import CCUDA
import Tile
import TileCPU

/// An operation over arrays of known shapes, ready to be run on any memory of those shapes.
///
/// All that depends on shapes, types and options has been done: kernels are found and compiled, launches cut,
/// parameters laid out. Running it fills in addresses and hands the work to the device; for a kernel on a GPU
/// that is one call of the driver. Nothing is allocated, but by matrix products for themselves.
///
/// Owner: its caller. Any thread may run it, several at once too if their memory is apart.
package final class RecordedCall: Sendable {
    package let device: Device
    /// What the caller provides after the arguments, in the order of its addresses.
    package let outputs: [CallOutput]
    /// Bytes of scratch memory, whose address comes last; 0 if there is none to give.
    package let workspaceBytes: Int
    private let slots: [CallSlot]
    private let steps: [CallStep]

    init(
        device: Device, slots: [CallSlot], workspaceBytes: Int, outputs: [CallOutput], steps: [CallStep]
    ) {
        self.device = device
        self.slots = slots
        self.workspaceBytes = workspaceBytes
        self.outputs = outputs
        self.steps = steps
    }

    /// How many addresses a run takes: arguments, outputs, and the workspace if there is one.
    package var addressCount: Int { slots.count }

    /// What was wrong with an address.
    package enum AddressError: Error {
        case misaligned(String)
    }

    /// Hands the work to the device.
    ///
    /// - Parameters:
    ///   - addresses: as many as `addressCount`.
    ///   - stream: the driver's handle of the stream that the work goes to; of no meaning on the processor,
    ///     where the work is done when this returns.
    /// - Throws: ``AddressError`` if memory is not as aligned as was said; `RuntimeError` if it overlaps or is
    ///   missing; `LaunchError` if a program fails a check, or did in an earlier run on the GPU; an error of
    ///   the device.
    package func run(_ addresses: UnsafePointer<UInt>, stream: UInt = 0) throws {
        try check(addresses)
        if let cuda = device.cuda {
            try run(addresses, CUstream(bitPattern: stream), cuda.context())
        } else {
            for step in steps { try step.run(addresses, device) }
        }
    }

    private func run(_ addresses: UnsafePointer<UInt>, _ stream: CUstream?, _ context: CUDAContext) throws {
        try context.throwKept()
        try context.use {
            for step in steps {
                if case .cuda(let launch) = step {
                    try launch.run(addresses, stream, context)
                } else {
                    let borrowed = CUDAStream(borrowing: UInt(bitPattern: stream), on: context)
                    try CUDAStream.$given.withValue(borrowed) { try step.run(addresses, device) }
                }
            }
        }
        if context.isStrict {
            let borrowed = CUDAStream(borrowing: UInt(bitPattern: stream), on: context)
            try CUDAStream.$given.withValue(borrowed) {
                if try context.use({ try !borrowed.isCapturing() }) { try context.synchronize() }
            }
        }
    }

    private func check(_ addresses: UnsafePointer<UInt>) throws {
        for (i, slot) in slots.enumerated() {
            let address = addresses[i]
            if address & UInt(slot.alignment - 1) != 0 {
                throw AddressError.misaligned(
                    "address \(i) of a prepared call is \(address), which is no multiple of \(slot.alignment)"
                )
            }
            if slot.byteCount == 0 { continue }
            if address == 0 {
                throw RuntimeError("address \(i) of a prepared call is null. Give it \(slot.byteCount) bytes")
            }
            for (j, other) in slots.enumerated() where j < i && (slot.isWritten || other.isWritten) {
                let start = addresses[j]
                if start < address + UInt(slot.byteCount) && address < start + UInt(other.byteCount) {
                    throw RuntimeError(
                        "addresses \(j) and \(i) of a prepared call overlap, and one is written. Keep them apart"
                    )
                }
            }
        }
    }
}

/// A recorded step with its places settled.
enum CallStep: Sendable {
    case cuda(PreparedLaunch)
    case cpu(PreparedCPULaunch)
    case clear(CallArray)
    case copy(from: CallArray, to: CallArray)
    case product(RecordedProduct, a: CallPlace, b: CallPlace, c: CallPlace)

    init(_ step: RecordedStep, _ places: [Int: CallPlace], _ device: Device) throws {
        switch step {
        case .launch(let compiled, let programs, let arrays, let scalars):
            let bound = arrays.map { CallArray($0, places) }
            switch compiled.program {
            case .cpu(let plan):
                self = .cpu(
                    PreparedCPULaunch(
                        plan: plan, counter: compiled.counter, programs: programs, arrays: bound,
                        scalars: scalars))
            case .cuda(let kernel):
                self = .cuda(
                    try PreparedLaunch(
                        kernel, counter: compiled.counter, programs: programs, arrays: bound, scalars: scalars
                    ))
            }
        case .clear(let array): self = .clear(CallArray(array, places))
        case .copy(let from, let to): self = .copy(from: CallArray(from, places), to: CallArray(to, places))
        case .product(let product):
            self = .product(
                product, a: CallArray(product.a, places).place, b: CallArray(product.b, places).place,
                c: CallArray(product.c, places).place)
        }
    }

    func run(_ addresses: UnsafePointer<UInt>, _ device: Device) throws {
        switch self {
        case .cuda: preconditionFailure("launches on a GPU are run with their context")
        case .cpu(let launch): try launch.run(addresses)
        case .clear(let array): try array.at(addresses, device)?.clear()
        case .copy(let from, let to):
            guard let from = from.at(addresses, device), let to = to.at(addresses, device) else { return }
            try from.copyBytes(to: to)
        case .product(let product, let a, let b, let c):
            guard let a = CallArray(product.a, a).at(addresses, device),
                let b = CallArray(product.b, b).at(addresses, device),
                let c = CallArray(product.c, c).at(addresses, device)
            else { return }
            _ = try MatMul.apply(
                a, b, transposeA: product.transposeA, transposeB: product.transposeB, into: c,
                alpha: product.alpha, accumulate: product.accumulate)
        }
    }
}

/// A recorded array with its place settled.
struct CallArray: Sendable {
    let array: RecordedArray
    let place: CallPlace

    init(_ array: RecordedArray, _ place: CallPlace) {
        self.array = array
        self.place = place
    }

    init(_ array: RecordedArray, _ places: [Int: CallPlace]) {
        guard let start = places[array.piece] else { preconditionFailure("every piece has a place") }
        self.init(array, CallPlace(slot: start.slot, byteOffset: start.byteOffset + array.byteOffset))
    }

    /// Nil for an array of no elements, which may have no memory.
    func at(_ addresses: UnsafePointer<UInt>, _ device: Device) -> NDArray? {
        UnsafeMutableRawPointer(bitPattern: place.address(addresses)).map { array.at($0, device) }
    }
}

extension CallPlace {
    func address(_ addresses: UnsafePointer<UInt>) -> UInt { addresses[slot] &+ UInt(bitPattern: byteOffset) }
}

/// A launch on the processor.
struct PreparedCPULaunch: Sendable {
    let plan: Plan
    let counter: LaunchCounters.Counter
    let programs: Int
    let arrays: [CallArray]
    let scalars: [LaunchScalar]

    func run(_ addresses: UnsafePointer<UInt>) throws {
        // Arrays without elements may have no memory; programs that would touch it fail their bounds checks.
        let nowhere = UnsafeMutableRawPointer(bitPattern: 64)
        let bound = arrays.compactMap { array in
            (UnsafeMutableRawPointer(bitPattern: array.place.address(addresses)) ?? nowhere).map {
                CPUArray(
                    base: $0, shape: array.array.shape, strides: array.array.strides, dtype: array.array.dtype
                )
            }
        }
        try plan.run(programs: programs, bound: bound, scalars)
        counter.increment()
    }
}

import LigerArrays
import Tile

/// One thing that a recorded operation does.
enum RecordedStep: Sendable {
    case launch(any LoadedKernel, programs: Int, [RecordedArray], [LaunchScalar])
    case clear(RecordedArray)
    case copy(from: RecordedArray, to: RecordedArray)
    case product(RecordedProduct)
}

/// Memory of a recording.
struct RecordedPlace: Sendable {
    let piece: Int
    let byteOffset: Int
}

/// An array of a recording. It does not hold the buffer, so that the recording sees when memory is given up.
struct RecordedArray: Sendable {
    let place: RecordedPlace
    let shape: [Int]
    let strides: [Int]
    let dtype: DType
}

/// A matrix product as it was asked for.
struct RecordedProduct: @unchecked Sendable {
    // Its addresses stand for memory; nobody goes there.
    let product: Multiplication
    let a: RecordedPlace
    let b: RecordedPlace
    let c: RecordedPlace
    let scaleOfA: RecordedPlace?
    let scaleOfB: RecordedPlace?
}

/// Where the pieces of a recording lie in the memory that its call is run with.
struct CallPlaces {
    private let starts: [Int: CallPlace]

    /// - Parameter starts: of every piece.
    init(_ starts: [Int: CallPlace]) { self.starts = starts }

    func place(_ place: RecordedPlace) -> CallPlace {
        guard let start = starts[place.piece] else { preconditionFailure("every piece has a place") }
        return CallPlace(slot: start.slot, byteOffset: start.byteOffset + place.byteOffset)
    }

    func array(_ array: RecordedArray) -> PlacedArray {
        PlacedArray(
            place: place(array.place), shape: array.shape, strides: array.strides, dtype: array.dtype)
    }
}

extension RecordedStep {
    /// The step with its places settled, for a device.
    func prepared(_ places: CallPlaces, on backend: any Backend) throws -> any PreparedStep {
        switch self {
        case .launch(let kernel, let programs, let arrays, let scalars):
            try kernel.prepared(programs: programs, arrays.map { places.array($0) }, scalars)
        case .clear(let array): PreparedClear(backend: backend, array: places.array(array))
        case .copy(let from, let to):
            PreparedCopy(backend: backend, from: places.array(from), to: places.array(to))
        case .product(let product):
            PreparedProduct(
                backend: backend, product: product, a: places.place(product.a), b: places.place(product.b),
                c: places.place(product.c), scaleOfA: product.scaleOfA.map { places.place($0) },
                scaleOfB: product.scaleOfB.map { places.place($0) })
        }
    }
}

private struct PreparedClear: PreparedStep {
    let backend: any Backend
    let array: PlacedArray

    func run(_ addresses: UnsafePointer<UInt>, stream: UInt) throws {
        try backend.withStream(stream) { try backend.clear(array.view(addresses)) }
    }
}

private struct PreparedCopy: PreparedStep {
    let backend: any Backend
    let from: PlacedArray
    let to: PlacedArray

    func run(_ addresses: UnsafePointer<UInt>, stream: UInt) throws {
        try backend.withStream(stream) {
            try backend.copy(from.view(addresses), to: to.view(addresses))
        }
    }
}

private struct PreparedProduct: PreparedStep {
    let backend: any Backend
    let product: RecordedProduct
    let a: CallPlace
    let b: CallPlace
    let c: CallPlace
    let scaleOfA: CallPlace?
    let scaleOfB: CallPlace?

    func run(_ addresses: UnsafePointer<UInt>, stream: UInt) throws {
        var product = product.product
        product.a.address = a.address(addresses)
        product.b.address = b.address(addresses)
        product.c.address = c.address(addresses)
        product.a.scale = scaleOfA?.address(addresses)
        product.b.scale = scaleOfB?.address(addresses)
        try backend.withStream(stream) { try backend.multiply(product) }
    }
}

import Tile

/// Where each parameter of a kernel's entry lies in the block of bytes that a launch hands over; see
/// ``GPUKernel`` for the order.
struct ParameterLayout: Sendable, Equatable {
    /// The address of each view; its sizes and strides follow, 8 bytes each.
    private(set) var views: [Int] = []
    private(set) var scalars: [Int] = []
    private(set) var programs = 0
    private(set) var record = 0
    private(set) var byteCount = 0

    init(views: [ViewParameter], scalars: [ScalarParameter]) {
        for view in views { self.views.append(place(8, count: 1 + 2 * view.rank)) }
        for scalar in scalars { self.scalars.append(place(scalar.element == .index ? 8 : 4)) }
        programs = place(8)
        record = place(8)
    }

    /// Places parameters of `size` bytes at a multiple of it.
    private mutating func place(_ size: Int, count: Int = 1) -> Int {
        let start = (byteCount + size - 1) / size * size
        byteCount = start + size * count
        return start
    }

    /// Writes a launch's arguments. Bytes between parameters are not set.
    func pack(
        _ arrays: [NDArray], _ scalars: [LaunchScalar], programs: Int, record: UInt64,
        into memory: UnsafeMutableRawPointer
    ) {
        for (array, start) in zip(arrays, views) {
            var place = memory + start
            place.storeBytes(of: UInt64(UInt(bitPattern: array.address)), as: UInt64.self)
            place += 8
            for size in array.shape {
                place.storeBytes(of: Int64(size), as: Int64.self)
                place += 8
            }
            for stride in array.strides {
                place.storeBytes(of: Int64(stride), as: Int64.self)
                place += 8
            }
        }
        for (scalar, start) in zip(scalars, self.scalars) {
            let place = memory + start
            switch scalar {
            case .float(let value): place.storeBytes(of: value, as: Float.self)
            case .int32(let value): place.storeBytes(of: value, as: Int32.self)
            case .uint32(let value): place.storeBytes(of: value, as: UInt32.self)
            case .index(let value): place.storeBytes(of: Int64(value), as: Int64.self)
            }
        }
        memory.storeBytes(of: Int64(programs), toByteOffset: self.programs, as: Int64.self)
        memory.storeBytes(of: record, toByteOffset: self.record, as: UInt64.self)
    }
}

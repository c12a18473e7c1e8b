package import LigerArrays
package import Tile
package import TileGPU

extension ParameterLayout {
    /// Writes a launch's arguments. Bytes between parameters are not set.
    package func pack(
        _ views: [MemoryView], _ scalars: [LaunchScalar], programs: Int, record: UInt64,
        into memory: UnsafeMutableRawPointer
    ) {
        for (view, start) in zip(views, self.views) {
            var place = memory + start
            place.storeBytes(of: UInt64(UInt(bitPattern: view.address)), as: UInt64.self)
            place += 8
            for size in view.shape {
                place.storeBytes(of: Int64(size), as: Int64.self)
                place += 8
            }
            for stride in view.strides {
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
        memory.storeBytes(of: record, toByteOffset: self.failure, as: UInt64.self)
    }
}

import Tile

/// Elements in host memory.
enum HostElements {
    static func load(_ place: UnsafeMutableRawPointer, _ dtype: DType) -> Double {
        switch dtype {
        case .f32: Double(place.load(as: Float.self))
        case .bf16: Double(Float(bitPattern: UInt32(place.load(as: UInt16.self)) << 16))
        case .f16: Double(Float(Float16(bitPattern: place.load(as: UInt16.self))))
        case .i32: Double(place.load(as: Int32.self))
        case .i64: Double(place.load(as: Int64.self))
        case .u32: Double(place.load(as: UInt32.self))
        case .u8: Double(place.load(as: UInt8.self))
        case .e4m3: Double(Float8.e4m3.value(place.load(as: UInt8.self)))
        case .e5m2: Double(Float8.e5m2.value(place.load(as: UInt8.self)))
        }
    }

    /// Nearest bfloat16, ties to even; a NaN stays one.
    static func bfloat16(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        if value.isNaN { return UInt16(bits >> 16) | 0x40 }
        return UInt16((bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
    }

    static func store(_ value: Double, at place: UnsafeMutableRawPointer, _ dtype: DType) {
        switch dtype {
        case .f32: place.storeBytes(of: Float(value), as: Float.self)
        case .bf16: place.storeBytes(of: bfloat16(Float(value)), as: UInt16.self)
        case .f16: place.storeBytes(of: Float16(Float(value)).bitPattern, as: UInt16.self)
        case .i32: place.storeBytes(of: Int32(value), as: Int32.self)
        case .i64: place.storeBytes(of: Int64(value), as: Int64.self)
        case .u32: place.storeBytes(of: UInt32(value), as: UInt32.self)
        case .u8: place.storeBytes(of: UInt8(value), as: UInt8.self)
        case .e4m3: place.storeBytes(of: Float8.e4m3.bits(Float(value)), as: UInt8.self)
        case .e5m2: place.storeBytes(of: Float8.e5m2.bits(Float(value)), as: UInt8.self)
        }
    }
}

package import LigerRuntime
package import Tile

/// A part of a model that owns parameters.
public protocol Module {
    /// Its parameters, in a fixed order. One that is used twice is listed once.
    var parameters: [Parameter] { get }
}

/// What the parameters of one model have in common.
package struct ParameterStyle: Sendable {
    package var dtype = DType.f32
    /// Of the normal distribution that weights start from.
    package var deviation: Float = 0.02
    package var device = Device.cpu

    package init(dtype: DType = .f32, deviation: Float = 0.02, device: Device = .cpu) {
        self.dtype = dtype
        self.deviation = deviation
        self.device = device
    }

    func weight(_ name: String, _ shape: [Int]) throws -> Parameter {
        try Parameter(
            name + ".weight", shape, dtype: dtype, initialisation: .normal(deviation: deviation),
            device: device)
    }

    func bias(_ name: String, _ size: Int) throws -> Parameter {
        try Parameter(
            name + ".bias", [size], dtype: dtype, initialisation: .constant(0), decays: false,
            device: device)
    }

    func normWeight(_ name: String, _ size: Int) throws -> Parameter {
        try Parameter(
            name + ".weight", [size], dtype: dtype, initialisation: .constant(1), decays: false,
            device: device)
    }
}

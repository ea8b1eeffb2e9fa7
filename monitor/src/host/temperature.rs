//! Temperatures, by sysinfo.

use std::time::Duration;

use sysinfo::{Component, Components};

use super::{Emit, Error, Part};
use crate::metric;
use crate::sample::Attributes;

/// Some sensors take milliseconds to answer.
const INTERVAL: Duration = Duration::from_secs(15);

pub(super) struct Temperatures {
    components: Components,
    sensors: Vec<Sensor>,
}

struct Sensor {
    id: String,
    name: String,
    celsius: Option<f32>,
    critical: Option<f32>,
    attributes: Attributes,
    limit_attributes: Attributes,
}

impl Temperatures {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self { components: Components::new()?, sensors: Vec::new() })
    }
}

impl Part for Temperatures {
    fn name(&self) -> &'static str {
        "temperatures"
    }

    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn refresh(&mut self) -> Result<(), Error> {
        self.components.refresh(true);
        let mut before = std::mem::take(&mut self.sensors);
        for component in &self.components {
            let id = component.id().unwrap_or(component.label());
            let known =
                before.iter().position(|known| known.id == id && known.name == component.label());
            let mut sensor = match known {
                Some(known) => before.swap_remove(known),
                None => Sensor::new(id, component),
            };
            sensor.celsius = component.temperature();
            sensor.critical = component.critical();
            self.sensors.push(sensor);
        }
        match self.sensors.is_empty() {
            true => Err(Error::NoSensor),
            false => Ok(()),
        }
    }

    fn emit(&self, emit: &mut Emit<'_>) {
        for sensor in &self.sensors {
            if let Some(celsius) = sensor.celsius {
                emit.gauge(&metric::HW_TEMPERATURE, &sensor.attributes, celsius.into());
            }
            if let Some(celsius) = sensor.critical {
                let attributes = &sensor.limit_attributes;
                emit.gauge(&metric::HW_TEMPERATURE_LIMIT, attributes, celsius.into());
            }
        }
    }
}

impl Sensor {
    fn new(id: &str, component: &Component) -> Self {
        let name = component.label();
        let attributes = Attributes::new([("hw.id", id), ("hw.name", name)]);
        let limit = Attributes::new([("hw.limit_type", "high.critical")]);
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            celsius: None,
            critical: None,
            limit_attributes: attributes.with(&limit),
            attributes,
        }
    }
}
